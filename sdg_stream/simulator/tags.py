"""The tags of a prompt: which stand around inputs and examples, and which the reply must hold.

The rules are about how people write prompts for tagged replies, not about any particular prompt.

* A *pair* is ``[Start of X]`` … ``[End of X]``, ``<x>`` … ``</x>`` or ``[X]`` … ``[/X]``.
* A pair is *mentioned* where only connecting words stand between its tags ("between [Start of X] and
  [End of X] tags"), a *placeholder* where only dots, ``<…>`` or ``{…}`` do, and *filled* otherwise.
* The reply must hold the pairs that are mentioned; if none is, those with placeholders; if none, those that
  the examples fill more rarely than the others; if none, the start tag that ends the prompt. A pair that is
  filled more often than another candidate, and again after its last mention, is an input and left out.
* What a pair holds follows from the last telling word of its name.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

__all__ = ["Block", "Kind", "Pairs", "Tag", "kind_of", "read_pairs"]

Kind = Literal[
    "question",
    "answer",
    "verdict",
    "score",
    "reason",
    "passage",
    "summary",
    "facts",
    "copy",
    "title",
    "extract",
    "pair",
    "end",
    "text",
]

_NAMES: dict[Kind, str] = {
    "question": "question query instruction problem prompt",
    "answer": "answer response reply output solution completion",
    "verdict": "judgment judgement verdict decision label classification",
    "score": "score rating grade rank",
    "reason": "explanation feedback evaluation reason reasoning rationale critique analysis thought comment",
    "passage": "context document passage text article paragraph chapter snippet story source section content",
    "summary": "summary overview",
    "facts": "fact list",
    "title": "title headline subject",
    "end": "end stop",
}
_KINDS: dict[str, Kind] = {word: kind for kind, words in _NAMES.items() for word in words.split()}

_PAIR = re.compile(
    r"\[(?:(start|end) of |(/)?)([^\[\]\n/]{1,40})\]|<(/)?([A-Za-z][\w-]{0,30})>", re.IGNORECASE
)
_LETTERS = re.compile(r"[A-Za-z]+")
_CONNECTING_WORDS = """
a add an and at by close closing end ending finish followed in it opening out put reply response tag tags the
then through to until up with your
"""
_CONNECTING = frozenset(_CONNECTING_WORDS.split())
_PLACEHOLDER = re.compile(
    r"\s*(?:\.{2,}|…|<[^<>]*>|\{[^{}]*\}|\([^()]*\)|(?:your|insert|write|put)\b[^.\n]*)\s*", re.IGNORECASE
)
_LONGEST_MENTION = 60


class Tag(NamedTuple):
    """A tag of the reply: the texts before and after its content, and what the content is."""

    opening: str
    closing: str
    kind: Kind


class Block(NamedTuple):
    """A filled pair: its key, its text, and where it ends in the prompt."""

    key: str
    text: str
    end: int


def kind_of(name: str) -> Kind:
    """What a tag or a JSON key of this name holds; ``text`` if the name tells nothing."""
    for word in reversed(_LETTERS.findall(name.lower())):
        kind = _KINDS.get(word) or _KINDS.get(word.removesuffix("s"))
        if kind:
            return kind
    return "text"


class Pairs:
    """The pairs of one prompt. Keys are lower-case names; those of ``<x>`` keep the bracket.

    Attributes:
        filled: the filled pairs in their order.
        instructions: the prompt without them.
    """

    def __init__(self) -> None:
        self.filled: list[Block] = []
        self.instructions = ""
        self._literals: dict[str, tuple[str, str]] = {}
        self._mentions: dict[str, int] = {}
        self._placeholders: dict[str, int] = {}
        self._unclosed = ""

    def wanted(self) -> dict[str, Tag]:
        """The pairs that the reply must hold, by key, in order."""
        return {
            key: Tag(f"{opening}\n", f"\n{closing}", kind_of(key))
            for key, (opening, closing) in self._wanted()
        }

    def _wanted(self) -> list[tuple[str, tuple[str, str]]]:
        if self._unclosed:
            opening = self._literals[self._unclosed][0]
            return [(self._unclosed, ("", opening.replace("Start", "End").replace("start", "end")))]
        counts = dict.fromkeys((block.key for block in self.filled), 0)
        for block in self.filled:
            counts[block.key] += 1
        candidates = self._mentions or self._placeholders
        if candidates:
            last = {block.key: block.end for block in self.filled}
            fewest = min(counts.get(key, 0) for key in candidates)
            keys = [k for k, end in candidates.items() if counts.get(k, 0) <= fewest or last[k] < end]
        else:
            square = {key: count for key, count in counts.items() if key[0] != "<"}
            keys = [key for key, count in square.items() if count < max(square.values())]
        return [(key, self._literals[key]) for key in keys]

    def add(self, key: str, opening: str, text: str, closing: str, end: int) -> bool:
        """Sort in one pair; true if it is a filled one."""
        self._literals.setdefault(key, (opening, closing))
        words = _LETTERS.findall(text.lower()) if len(text) < _LONGEST_MENTION else ()
        if words and _CONNECTING.issuperset(words):
            self._mentions[key] = end
        elif _PLACEHOLDER.fullmatch(text):
            self._placeholders[key] = end
        else:
            self.filled.append(Block(key, text.strip(), end))
            return True
        return False

    def leave_open(self, key: str, opening: str) -> None:
        """Note the start tag that ends the prompt: the reply goes on from there."""
        self._literals[key] = (opening, "")
        self._unclosed = key


def read_pairs(prompt: str) -> Pairs:
    """Find the pairs of a prompt."""
    pairs = Pairs()
    opened: dict[str, tuple[int, int, str]] = {}
    kept: list[str] = []
    position = 0
    for match in _PAIR.finditer(prompt):
        word, slash, name, xml_slash, xml_name = match.groups()
        key = (f"<{xml_name}" if xml_name else name if word else f"[{name}").lower()
        if not (slash or xml_slash or (word and word.lower() == "end")):
            opened[key] = (match.start(), match.end(), match[0])
        elif key in opened:
            begin, inner, opening = opened.pop(key)
            filled = pairs.add(key, opening, prompt[inner : match.start()], match[0], match.end())
            if filled and begin >= position:
                kept.append(prompt[position:begin])
                position = match.end()
    kept.append(prompt[position:])
    pairs.instructions = "".join(kept)
    for key, (_, inner, opening) in opened.items():
        if key[0] not in "<[" and not prompt[inner:].strip():
            pairs.leave_open(key, opening)
    return pairs
