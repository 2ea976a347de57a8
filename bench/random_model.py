"""A model's folder without a hub: a real architecture's config, and a tokenizer that is made here.

    python bench/random_model.py FOLDER    # adds random weights; for a Python that has torch and transformers

The tokenizer has a token for each byte and for as many words, made of syllables, as the vocabulary has room
for; the words that synthetic prompts are made of are among them. So text costs about as many tokens as with a
tokenizer that was trained, and what random weights say is words. Format: ``tokenizer.json`` of Hugging Face's
tokenizers; ``ignore_merges`` takes a word that is in the vocabulary whole, any other one byte by byte.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

__all__ = ["MODELS", "write_model", "write_tokenizer", "write_weights"]

SPECIAL = ("<|begin|>", "<|end|>")
CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxyz", "aeiou"
CONTEXT = 8192
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
}
QWEN2: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "use_sliding_window": False,
}


def _sized(
    base: dict[str, Any],
    hidden: int,
    inner: int,
    layers: int,
    heads: tuple[int, int],
    words: int,
    **more: Any,
) -> dict[str, Any]:
    return {
        **base,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "vocab_size": words,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.02,
        "tie_word_embeddings": False,  # else random weights repeat the last token
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        "bos_token_id": 0,
        "eos_token_id": 1,
        **more,
    }


MODELS: dict[str, dict[str, Any]] = {
    "llama-1b": _sized(LLAMA, 2048, 8192, 16, (32, 8), 128256),
    "llama-3b": _sized(LLAMA, 3072, 8192, 28, (24, 8), 128256),
    "qwen2-1.5b": _sized(QWEN2, 1536, 8960, 28, (12, 2), 151936),
    "tiny": _sized(LLAMA, 64, 128, 2, (4, 2), 4096),
}
"""Sizes as in Llama 3.2 1B and 3B and Qwen2 1.5B; ``tiny`` is for trying things out without a GPU."""


def write_model(folder: Path, name: str, words: Iterable[str] = ()) -> None:
    """Config and tokenizer of a model; ``words`` are a token each."""
    config = MODELS[name]
    write_tokenizer(folder, words, size=config["vocab_size"])
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    end = {"bos_token_id": 0, "eos_token_id": 1}
    (folder / "generation_config.json").write_text(json.dumps(end), encoding="utf-8")


def write_tokenizer(folder: Path, words: Iterable[str] = (), *, size: int = 4096) -> None:
    """A tokenizer of ``size`` tokens, as a folder that ``AutoTokenizer`` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    known = [*SPECIAL, *_bytes_as_text(), *_words(words)]
    names = list(dict.fromkeys(known))[:size]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(number, text) for number, text in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {text: number for number, text in enumerate(names)},
            "merges": [],
        },
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "pad_token": SPECIAL[1],
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    for file, content in (("tokenizer.json", tokenizer), ("tokenizer_config.json", settings)):
        (folder / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def write_weights(folder: Path) -> None:
    """Random weights for the config in a folder; needs torch and transformers."""
    torch: Any = import_module("torch")  # only servers have these
    transformers: Any = import_module("transformers")
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)


def _special(number: int, text: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": text, **flags, "special": True}


def _bytes_as_text() -> list[str]:
    """The 256 characters that stand for bytes in byte-level BPE, by byte (GPT-2's ``bytes_to_unicode``)."""
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in shown else chr(next(others)) for byte in range(256)]


def _words(first: Iterable[str]) -> Iterator[str]:
    """Words with the space before them: first these, then any, the short ones before the long ones."""
    space = _bytes_as_text()[ord(" ")]
    yield from (space + word for word in first)
    syllables = [consonant + vowel for consonant, vowel in product(CONSONANTS, VOWELS)]
    for length in range(1, 4):
        yield from (space + "".join(parts) for parts in product(syllables, repeat=length))


if __name__ == "__main__":
    write_weights(Path(sys.argv[1]))
