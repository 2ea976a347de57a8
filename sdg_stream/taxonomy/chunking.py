"""Cuts the text of documents into chunks along its structure, none longer than so many tokens.

What fits into one chunk stays whole: first the document, then its sections, then their blocks. What does not
is cut where it hurts least: between the items of a list, the rows of a table and the lines of code, which
keep their head and fences, then between paragraphs, lines, sentences and words. Neighbours below the same
heading share a chunk as long as they fit, and each chunk begins with the headings above it. Chunks do not
overlap. The default size is that of InstructLab's SDG library, whose chunks have their headings as well.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial

from anyio.to_thread import run_sync as in_thread

from .documents import Document
from .markdown import Block, Section, parse, parse_plain, pieces
from .texts import read_text
from .tokens import TokenCounter

__all__ = ["CHUNK_TOKENS", "MarkdownChunker", "cut"]

CHUNK_TOKENS = 500
"""Tokens of the longest chunk, with its headings: upstream's, whatever its settings say."""

_PLAIN = (".txt", ".pdf")
_LONGEST_TOKEN = 64  # characters: longer texts are not counted to learn that they do not fit
_SENTENCE_END = r"[.!?\u2026][\"'\u201d\u2019)\]]{0,3}\s+|[\u3002\uff01\uff1f]"
_BOUNDARIES = tuple(map(re.compile, (r"\n(?:[ \t]*\n)+", r"\n(?:[ \t]*\n)*", _SENTENCE_END, r"\s+")))
"""Where text is cut, best first: behind paragraphs, lines, sentences, words."""

_LEADING_LINES = re.compile(r"\A(?:[ \t]*\n)+")


class MarkdownChunker:
    """A :class:`~.documents.Chunker` for documents of all kinds; HTML and DOCX are Markdown by then.

    Args:
        tokens: counts the tokens of a text.
        most_tokens: of a chunk, with its headings.
    """

    def __init__(self, tokens: TokenCounter, most_tokens: int = CHUNK_TOKENS) -> None:
        self._tokens = tokens
        self._most_tokens = most_tokens
        self.name = f"markdown, up to {most_tokens} tokens by {tokens.name}"
        """What the chunks depend on beside the document, to be recorded with the samples."""

    async def chunks(self, document: Document) -> AsyncGenerator[str, None]:
        """The chunks of one document in their order, none of them empty; each is made when it is asked for.

        Raises:
            ConfigError: the document cannot be read.
        """
        text = await read_text(document)
        is_plain = document.name.lower().endswith(_PLAIN)
        chunks = cut(text, self._tokens.count, self._most_tokens, is_plain=is_plain)
        while (chunk := await in_thread(next, chunks, None, abandon_on_cancel=True)) is not None:
            yield chunk

    async def aclose(self) -> None:
        """There is nothing to end."""


def cut(text: str, count: Callable[[str], int], most_tokens: int, *, is_plain: bool = False) -> Iterator[str]:
    """The chunks of a text: all of it in its order, headings also where they go on above a chunk.

    None has more than ``most_tokens``, unless a single character has.
    """
    root = parse_plain(text) if is_plain else parse(text)
    yield from (chunk for chunk in _Cutter(count, most_tokens).section(root, ()) if chunk)


class _Cutter:
    """Knows what fits into a chunk."""

    def __init__(self, count: Callable[[str], int], most_tokens: int) -> None:
        self._count = count
        self._most = most_tokens

    def section(self, section: Section, above: tuple[str, ...]) -> Iterator[str]:
        """The chunks of a section that stands below these headings."""
        parts: list[Block | Section] = [*section.blocks, *section.sections]
        headings = (*above, section.heading) if section.heading else above
        if not self._fits(_chunk(headings), self._most // 2):
            headings = above
            parts.insert(0, Block(f"{section.heading}\n\n"))
        texts = [part.text if isinstance(part, Block) else _whole(part) for part in parts]
        pending, at = "", 0
        while at < len(parts):
            taken = _most_that_fit(texts, at, partial(self._fits_behind, headings, pending))
            if taken:
                pending += "".join(texts[at : at + taken])
                at += taken
                continue
            if pending:
                yield _chunk(headings, pending)
                pending = ""
                continue
            part = parts[at]
            if isinstance(part, Block):
                *full, pending = self._block(part, headings)
                yield from (_chunk(headings, piece) for piece in full)
            else:
                yield from self.section(part, headings)
            at += 1
        if pending or not parts:
            yield _chunk(headings, pending)

    def _block(self, block: Block, headings: tuple[str, ...]) -> list[str]:
        """A block that is too long in pieces that are not, each with its head and tail if they leave room."""
        parts, head, tail = block.parts, block.head, block.tail
        if not parts or not self._fits(_chunk(headings, head + tail), self._most * 3 // 4):
            parts, head, tail = (block.text,), "", ""

        def wrap(text: str) -> str:
            return "".join((head, text.rstrip("\n"), "\n", tail)) if head else text

        def fits(text: str) -> bool:
            return self._fits(_chunk(headings, wrap(text)))

        return [wrap(piece) for piece in _fill(parts, fits) if piece.strip()] or [""]

    def _fits_behind(self, headings: tuple[str, ...], before: str, text: str) -> bool:
        return self._fits(_chunk(headings, before + text))

    def _fits(self, text: str, most: int | None = None) -> bool:
        most = self._most if most is None else most
        return len(text) <= most * _LONGEST_TOKEN and self._count(text) <= most


def _whole(section: Section) -> str:
    """A section as it stands in the document."""
    heading = f"{section.heading}\n\n" if section.heading else ""
    return "".join([heading, *(block.text for block in section.blocks), *map(_whole, section.sections)])


def _chunk(headings: Sequence[str], text: str = "") -> str:
    """A chunk as it is given away."""
    text = _LEADING_LINES.sub("", text).rstrip()
    return "\n\n".join(part for part in ("\n".join(headings), text) if part)


def _fill(parts: Sequence[str], fits: Callable[[str], bool], depth: int = 0) -> Iterator[str]:
    """As many parts together as fit; one that does not is cut at the next boundary."""
    at = 0
    while at < len(parts):
        taken = _most_that_fit(parts, at, fits)
        if taken:
            yield "".join(parts[at : at + taken])
        elif depth < len(_BOUNDARIES):
            yield from _fill(pieces(parts[at], _BOUNDARIES[depth]), fits, depth + 1)
        elif len(parts[at]) > 1:
            yield from _fill(list(parts[at]), fits, depth)
        else:
            yield parts[at]
        at += taken or 1


def _most_that_fit(parts: Sequence[str], at: int, fits: Callable[[str], bool]) -> int:
    """How many parts fit together, from ``at`` on: by doubling, then halving, for there may be millions."""
    least, most = 0, 1
    while at + most <= len(parts) and fits("".join(parts[at : at + most])):
        least, most = most, 2 * most
    most = min(most, len(parts) - at + 1)
    while most - least > 1:
        middle = (least + most) // 2
        if fits("".join(parts[at : at + middle])):
            least = middle
        else:
            most = middle
    return least
