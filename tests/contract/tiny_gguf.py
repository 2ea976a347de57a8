"""Writes a llama model of two layers with random weights and a vocabulary of bytes.

Run by the Python of the server's environment, which has ``gguf`` and ``numpy``: ``python tiny_gguf.py FILE``.
What the model says is noise, often not even UTF-8, and that is the point: a client must take anything.
Format: the GGUF specification of ggml, tensor and key names of llama.cpp's ``llama`` architecture.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

LAYERS, WIDTH, HIDDEN, HEADS = 2, 64, 128, 4
CONTEXT = 8192  # tokens, which are bytes here
SPECIAL = (b"<unk>", b"<s>", b"</s>")
UNKNOWN, CONTROL, BYTE = 2, 3, 6  # token types
CHAT = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


def write(path: str) -> None:
    """Write the model; the weights are the same every time."""
    gguf: Any = importlib.import_module("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(0)  # all float32
    words = _add_vocabulary(writer)
    _add_weights(writer, words)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: Any) -> int:
    """Three special tokens and one for each byte; how many that is."""
    tokens = [*SPECIAL, *(b"<0x%02X>" % byte for byte in range(256))]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT)
    return len(tokens)


def _add_weights(writer: Any, words: int) -> None:
    numpy: Any = importlib.import_module("numpy")
    dice = numpy.random.default_rng(0)

    def random(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.weight", dice.normal(0, 0.08, shape).astype(numpy.float32))

    def ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", numpy.ones(WIDTH, numpy.float32))

    random("token_embd", words, WIDTH)
    random("output", words, WIDTH)
    ones("output_norm")
    for layer in range(LAYERS):
        ones(f"blk.{layer}.attn_norm")
        ones(f"blk.{layer}.ffn_norm")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            random(f"blk.{layer}.{name}", WIDTH, WIDTH)
        random(f"blk.{layer}.ffn_gate", HIDDEN, WIDTH)
        random(f"blk.{layer}.ffn_up", HIDDEN, WIDTH)
        random(f"blk.{layer}.ffn_down", WIDTH, HIDDEN)


if __name__ == "__main__":
    write(sys.argv[1])
