"""What decides a run's rows, as plain data, and one short digest of it.

A run keeps these facts, so that a later start can say not only that something changed but what. They are
content, never time, place or order of keys: moving the folder, writing a comment or listing the same keys
in another order is no change. They survive being written as JSON and read back.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeAlias

from ..config.yaml import parse_yaml
from ..errors import ConfigError, Problem

__all__ = ["LARGE", "Facts", "canonical", "digest", "make_facts", "plain"]

Facts: TypeAlias = dict[str, Any]
"""Sections ``pipeline``, ``files``, ``settings``, ``teacher`` and ``templates``; JSON-able."""

LARGE = 64 * 1024
"""A file with more characters of content than this is remembered by its digest alone."""

_PARSED = {".json", ".yaml", ".yml"}
_OPTIONAL = {"drop_columns", "drop_duplicates"}


def make_facts(
    *,
    data: Mapping[str, Any],
    folder: Path,
    files: Iterable[Path],
    settings: Mapping[str, Any],
    model: str = "",
    api: str = "",
    families: Mapping[str, str] | None = None,
) -> Facts:
    """Gather what decides a run's rows, the input aside.

    Args:
        data: the pipeline file as YAML gave it, known to be sound. Only its blocks count.
        folder: where the pipeline file lies.
        files: every file that the blocks name, under the name that they have for it, relative ones behind
            ``folder``. YAML and JSON count by what they say, others by their text.
        settings: the fields of :class:`~sdg_stream.config.settings.Settings`.
        model: the teacher's model; ``model_id`` of the settings wins over it, as it does in a run.
        api: how prompts are sent.
        families: the chat template of each block that wraps its prompts itself, by the block's name. Where
            they are known, the ``model_family`` that was asked for does not count beside them.

    Raises:
        ConfigError: a file cannot be read.
    """
    blocks = plain([_entry(raw) for raw in data.get("blocks") or ()])
    kept = dict(settings)
    asked_for = kept.pop("model_id", None)
    if '"model_id":' in canonical(blocks):  # then naming one for the run is not the same as having it
        kept["model_id"] = asked_for
    if families is not None:
        kept.pop("model_family", None)
    return {
        "pipeline": {"blocks": blocks},
        "files": {_name(file, folder): _content(file) for file in files},
        "settings": plain(kept),
        "teacher": plain({"model": asked_for or model, "api": api}),
        "templates": plain(families or {}),
    }


def digest(facts: Any) -> str:
    """BLAKE2b of the canonical JSON, 128 bits as 32 hex digits. Takes whatever safe YAML can give."""
    return hashlib.blake2b(canonical(plain(facts)).encode(), digest_size=16).hexdigest()


def canonical(value: Any) -> str:
    """JSON of plain data, the same for the same content: sorted keys, no blanks, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def plain(value: Any) -> Any:
    """What safe YAML gives as what JSON has, different for different values.

    What JSON lacks becomes text with a tag before it (``!timestamp 2024-01-31``); text that begins with an
    exclamation mark itself gets the tag ``!str``.

    Raises:
        TypeError: a value is of a type that YAML does not give.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else f"!int {value:#x}"
    if isinstance(value, float):
        return value if math.isfinite(value) else f"!float {value}"
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _tagged(value)


def _tagged(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return {"!set": sorted(map(plain, value), key=canonical)}
    if isinstance(value, bytes):
        return f"!binary {base64.b64encode(value).decode()}"
    if isinstance(value, date | datetime):
        return f"!timestamp {value.isoformat()}"
    raise TypeError(f"{type(value).__name__} is not plain data")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which YAML can escape and UTF-8 cannot hold
        return f"!escaped {value.encode('unicode_escape').decode()}"
    return f"!str {value}" if value.startswith("!") else value


def _key(key: Any) -> str:
    return _text(key) if isinstance(key, str) else f"!key {canonical(plain(key))}"


def _entry(raw: Any) -> Any:
    """An entry of ``blocks`` as it is meant: leaving out an optional key is the same as an empty one."""
    if not isinstance(raw, Mapping):
        return raw
    entry = {key: value for key, value in raw.items() if value or key not in _OPTIONAL}
    if isinstance(entry.get("drop_duplicates"), str):
        entry["drop_duplicates"] = [entry["drop_duplicates"]]
    return entry


def _name(file: Path, folder: Path) -> str:
    """A file's name as the pipeline has it: ``../prompts/judge.yaml`` from its folder, or an absolute one."""
    inside = file.is_relative_to(folder)  # by name: folder/../prompts/judge.yaml is, too
    return (file.relative_to(folder) if inside else file.absolute()).as_posix()


def _content(file: Path) -> Any:
    """What a file says, as plain data; of a large or binary one only its size and digest."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(Problem(file=str(file), message=f"cannot be read: {error.strerror}")) from error
    try:
        content = plain(_parsed(file, data.decode("utf-8-sig")))
    except UnicodeDecodeError:
        content = None
    text = data.hex() if content is None else canonical(content)
    if content is None or len(text) > LARGE:
        return {"!digest": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), "bytes": len(data)}
    return content


def _parsed(file: Path, text: str) -> Any:
    """The data of YAML and JSON, so that comments and the order of keys do not count; else the text."""
    if file.suffix.lower() not in _PARSED:
        return text
    try:
        return parse_yaml(text, str(file)).data
    except ConfigError:
        return text
