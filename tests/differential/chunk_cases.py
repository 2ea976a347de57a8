"""The documents of ``chunks/``, and the tokenizer that upstream and sdg_stream count by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "chunks"
RECORDED = FOLDER / "recorded.json"

TOKENIZER: dict[str, Any] = {
    "version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None, "decoder": None,
    "pre_tokenizer": {
        "type": "Split", "pattern": {"Regex": r"\w{1,3}|[^\w\s]"}, "behavior": "Isolated", "invert": False,
    },
    "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
}  # fmt: skip
"""To it three letters are a token, and so is what stands between them: short documents have many chunks."""


def documents() -> list[Path]:
    """All documents, by name."""
    return sorted(FOLDER.glob("*.md"))


def write_model(folder: Path) -> Path:
    """A model's folder as upstream wants it, without the model."""
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").touch()
    return folder
