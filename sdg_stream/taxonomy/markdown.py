"""The structure of a Markdown document as far as cutting it up needs it: sections of blocks, parts of blocks.

A document is a tree of sections by the levels of its headings, and each section a row of blocks. All of a
document's lines are in exactly one block or heading, so nothing is lost between them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec

__all__ = ["Block", "Section", "parse", "parse_plain", "pieces"]

_LONGEST_HEADING = 2  # lines: what is longer is a paragraph with a rule below
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?:[^\n]*\S[^\n]*\n)*?---[ \t]*(?:\n|\Z)")
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n)+")


class Block(msgspec.Struct, frozen=True):
    """A block with the empty lines behind it.

    Attributes:
        text: as it stands in the document.
        parts: what it is cut into if it must be, at best: items of a list, lines of code, rows of a table.
        head: begins each of the pieces that it is cut into: the fence of code, the head of a table.
        tail: ends each of them.
    """

    text: str
    parts: tuple[str, ...] = ()
    head: str = ""
    tail: str = ""


class Section(msgspec.Struct):
    """A heading, empty for the document itself, the blocks below it, and the sections below those."""

    heading: str = ""
    level: int = 0
    blocks: list[Block] = msgspec.field(default_factory=list)
    sections: list[Section] = msgspec.field(default_factory=list)


def parse(text: str) -> Section:
    """The structure of a Markdown document: CommonMark, tables, and YAML in front."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 -- those who only list leaf nodes need not load it

    root = Section()
    if front := _FRONT_MATTER.match(text):
        root.blocks.append(Block(front.group()))
        text = text[front.end() :]
    lines = [f"{line}\n" for line in text.split("\n")]
    tokens: list[Any] = MarkdownIt("commonmark").enable("table").disable("inline").parse(text)
    tops = [at for at, token in enumerate(tokens) if token.level == 0 and token.map]
    starts = [*(tokens[at].map[0] for at in tops), len(lines)]
    _add_text(root, lines[: starts[0]])
    path = [root]
    for (at, following), (start, end) in zip(pairwise([*tops, len(tokens)]), pairwise(starts), strict=True):
        token = tokens[at]
        last = token.map[1]
        if token.type == "heading_open" and last - start <= _LONGEST_HEADING:
            path = _open_section(path, int(token.tag[1:]), "".join(lines[start:last]).strip())
        else:
            while last < end and not lines[last].strip():
                last += 1
            path[-1].blocks.append(_block(tokens[at:following], lines[start:last]))
        _add_text(path[-1], lines[last:end])
    return root


def parse_plain(text: str) -> Section:
    """The structure of plain text: its paragraphs."""
    return Section(blocks=[Block(piece) for piece in pieces(text, _EMPTY_LINES)])


def pieces(text: str, boundary: re.Pattern[str]) -> list[str]:
    """A text cut behind all that a pattern finds; nothing is lost."""
    ends = [0, *(found.end() for found in boundary.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(ends) if end > start]


def _open_section(path: Sequence[Section], level: int, heading: str) -> list[Section]:
    """The path to a new section, below the last one of a lower level."""
    above = [section for section in path if section.level < level]
    section = Section(heading, level)
    above[-1].sections.append(section)
    return [*above, section]


def _add_text(section: Section, lines: Sequence[str]) -> None:
    """Keep lines that are no block, such as the targets of links."""
    if (text := "".join(lines)).strip():
        section.blocks.append(Block(text))


def _block(tokens: Sequence[Any], lines: Sequence[str]) -> Block:
    """A block from its tokens and lines."""
    first = tokens[0]
    start, end = first.map
    text = "".join(lines)
    match first.type:
        case "fence":
            inner = lines[1 : end - start]
            fence = first.markup
            if inner and inner[-1].strip().startswith(fence) and not inner[-1].strip().strip(fence[0]):
                inner = inner[:-1]
            return Block(text, tuple(inner), lines[0], f"{fence}\n\n")
        case "table_open":
            return Block(text, tuple(lines[2 : end - start]), "".join(lines[:2]), "\n")
        case "bullet_list_open" | "ordered_list_open":
            items = [
                token.map[0] - start
                for token in tokens
                if token.type == "list_item_open" and token.level == 1
            ]
            return Block(text, tuple("".join(lines[a:b]) for a, b in pairwise([*items, len(lines)])))
        case _:
            return Block(text)
