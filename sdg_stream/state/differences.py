"""What changed between the facts of two runs, told so that a person sees whether it was meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from .block_pairs import BlockPairs, Entry, name_of
from .fingerprint import Facts, canonical
from .value_text import ABSENT, changed_lines, shown

__all__ = ["Difference", "differences", "render"]

MAX_RENDERED = 40
"""Lines that :func:`render` gives at most."""

MAX_NAME = 60

_SECTIONS = {"settings": "", "teacher": "", "templates": "chat template of "}
"""What stands before the keys of a section whose differences are told key by key."""

_PLAIN_KEY = re.compile(r"[\w./-]+")


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it was.

    Attributes:
        where: its place, such as ``block gen_questions: gen_kwargs.temperature``.
        old: what was there, as a short text; empty if there was nothing.
        new: what is there now, the same way.
        lines: of longer values, instead of the two, the lines that changed, each with ``-``, ``+`` or a
            blank before it.
    """

    where: str
    old: str = ""
    new: str = ""
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.lines:
            return "\n  ".join((f"{self.where} changed:", *self.lines))
        if not self.old and not self.new:
            return self.where
        return f"{self.where} was {self.old or 'not set'}, is {self.new or 'not set'}"


def differences(old: Facts, new: Facts) -> list[Difference]:
    """Everything that differs between two :data:`Facts`; empty exactly if their digests are equal."""
    found: list[Difference] = []
    for section in dict.fromkeys([*new, *old]):
        was, now = old.get(section, ABSENT), new.get(section, ABSENT)
        if section == "pipeline" and _has_blocks(was) and _has_blocks(now):
            found += _block_differences(was["blocks"], now["blocks"])
        elif section == "files" and isinstance(was, dict) and isinstance(now, dict):
            found += _file_differences(was, now)
        elif isinstance(was, dict) and isinstance(now, dict):
            found += _walk(_SECTIONS.get(section, f"{section}: "), was, now)
        else:
            found += _walk(section, was, now)
    return found


def render(found: Sequence[Difference]) -> str:
    """The differences for a screen, at most 40 lines; of what does not fit the number is told."""
    lines: list[str] = []
    for number, difference in enumerate(found):
        told = str(difference).split("\n")
        if lines and len(lines) + len(told) >= MAX_RENDERED:
            rest = len(found) - number
            lines.append(f"... and {rest} more {'difference' if rest == 1 else 'differences'}")
            break
        lines += told
    return "\n".join(lines)


def _has_blocks(pipeline: Any) -> bool:
    return (
        isinstance(pipeline, dict)
        and pipeline.keys() == {"blocks"}
        and isinstance(pipeline["blocks"], list)
        and all(isinstance(entry, dict) for entry in pipeline["blocks"])
    )


def _block_differences(old: list[Entry], new: list[Entry]) -> Iterator[Difference]:
    pairs = BlockPairs(old, new)
    for index in pairs.removed:
        yield Difference(f"blocks: removed {_cut(name_of(old[index]))} {_place(old, index)}")
    for index in pairs.added:
        yield Difference(f"blocks: added {_cut(name_of(new[index]))} {_place(new, index)}")
    for was, now in pairs.moved:
        yield Difference(f"blocks: moved {_cut(name_of(new[now]))}", _place(old, was), _place(new, now))
    for was, now in pairs.pairs:
        before, after = dict(old[was]), dict(new[now])
        yield from _walk(
            f"block {_cut(name_of(old[was]))}: name", before.pop("name", ABSENT), after.pop("name", ABSENT)
        )
        where = f"block {_cut(name_of(new[now]))}: "
        config = before.pop("config", ABSENT), after.pop("config", ABSENT)
        yield from _walk(where, before, after)
        yield from _walk(where if all(map(_is_mapping, config)) else f"{where}config", *config)


def _place(blocks: list[Entry], index: int) -> str:
    return f"after {_cut(name_of(blocks[index - 1]))}" if index else "at the beginning"


def _file_differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Difference]:
    gone = {name: canonical(content) for name, content in old.items() if name not in new}
    for name, content in new.items():
        if name in old:
            yield from _walk(f"{_cut(name)}: ", old[name], content)
            continue
        same = next((other for other, text in gone.items() if text == canonical(content)), None)
        if same is None:
            yield Difference(f"files: added {_cut(name)}")
        else:
            del gone[same]
            yield Difference(f"files: {_cut(same)} is named {_cut(name)} now")
    for name in gone:
        yield Difference(f"files: removed {_cut(name)}")


def _walk(where: str, old: Any, new: Any) -> Iterator[Difference]:
    """Down to the smallest values that differ; ``where`` ends with a blank before a first key."""
    if _is_mapping(old) and _is_mapping(new):
        for key in dict.fromkeys([*new, *old]):
            yield from _walk(_at(where, key), old.get(key, ABSENT), new.get(key, ABSENT))
    elif _are_alike(old, new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{where}[{index}]", *pair)
    elif old is not new and (ABSENT in (old, new) or canonical(old) != canonical(new)):
        where, short = where.removesuffix(": "), (shown(old), shown(new))
        if None in short:
            yield Difference(where, lines=changed_lines(old, new))
        else:
            yield Difference(where, short[0] or "", short[1] or "")


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and not value.keys() & {"!set", "!digest"}


def _are_alike(old: Any, new: Any) -> bool:
    """Whether two lists are told item by item: as many items, and structures among them."""
    return (
        isinstance(old, list)
        and isinstance(new, list)
        and len(old) == len(new)
        and any(isinstance(item, dict | list) for item in (*old, *new))
    )


def _at(where: str, key: str) -> str:
    name = key.removeprefix("!key ")
    name = _cut(name if _PLAIN_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False))
    return f"{where}{name}" if not where or where.endswith(" ") else f"{where}.{name}"


def _cut(text: str) -> str:
    line = text if text.isprintable() else json.dumps(text)
    return line if len(line) <= MAX_NAME else f"{line[: MAX_NAME - 3]}..."
