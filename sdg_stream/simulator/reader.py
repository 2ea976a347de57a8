"""Reads from a prompt alone what it asks for.

The rules are tried in this order.

1. Pairs of tags (``tags`` has their rules). Pairs that are not wanted are inputs, named by their tag. An
   answer is a verdict where the instructions offer one (YES or NO), a reason is wanted as well, and no
   question is to be written.
2. Bare tags at line starts (``[QUESTION]`` … ``[ANSWER]`` … ``[END]``). A prompt that ends in one is to be
   continued; else the last one opens the input, and the others, in the order in which they first stand
   there, make up the reply.
3. Plain text (``plain`` has its rules).
"""

from __future__ import annotations

import re

from .plain import find_document, read_plain
from .tags import Kind, Pairs, Tag, kind_of, read_pairs
from .task import Task, verdict_words, without_orders

__all__ = ["read_task"]

_BARE = re.compile(
    r"^[ \t]*\[(?!start of |end of )([A-Za-z][A-Za-z _-]{0,30})\]", re.MULTILINE | re.IGNORECASE
)


def read_task(prompt: str) -> Task:
    """Read what a prompt, without its chat template, asks for."""
    pairs = read_pairs(prompt)
    wanted = pairs.wanted()
    if wanted:
        return _tagged_task(pairs, wanted)
    bare = list(_BARE.finditer(prompt))
    if not bare:
        return read_plain(prompt, pairs)
    if not prompt[bare[-1].end() :].strip() and kind_of(bare[-1][1]) != "end":
        return _open_task(prompt, bare)
    return _series_task(prompt, bare)


def _tagged_task(pairs: Pairs, wanted: dict[str, Tag]) -> Task:
    inputs: dict[Kind, str] = {}
    examples: dict[Kind, str] = {}
    numbers: list[int] = []
    for key, text, _ in pairs.filled:
        kind = kind_of(key)
        (examples if key in wanted else inputs)[kind] = text
        if kind == "score" and text.isdecimal():
            numbers.append(int(text))
    tags = tuple(wanted.values())
    kinds = {tag.kind for tag in tags}
    if {"answer", "reason"} <= kinds and "question" not in kinds and verdict_words(pairs.instructions):
        tags = tuple(tag._replace(kind="verdict") if tag.kind == "answer" else tag for tag in tags)
    texts = {**examples, **inputs}
    document = texts.get("passage") or texts.get("summary") or ""
    if not document and not inputs:
        document = find_document(pairs.instructions)[0]
    return Task(
        tags=tags,
        instructions=pairs.instructions,
        document=document,
        question=texts.get("question", ""),
        answer=texts.get("answer", ""),
        given=frozenset(inputs),
        numbers=tuple(numbers),
    )


def _open_task(prompt: str, bare: list[re.Match[str]]) -> Task:
    """A prompt that ends in a bare tag; what stands under the tag before it is the input."""
    last = bare[-1]
    tags = (Tag("", "", kind_of(last[1])),)
    begin = bare[-2].end() if len(bare) > 1 else bare[0].start()
    text = prompt[begin : last.start()].strip()
    given = kind_of(bare[-2][1]) if len(bare) > 1 else "text"
    instructions = prompt[: bare[0].start()]
    return _with_input(Task(tags, instructions), text, given)


def _series_task(prompt: str, bare: list[re.Match[str]]) -> Task:
    """Bare tags that the reply repeats, with the input under the last one."""
    last = bare[-1]
    given = "" if kind_of(last[1]) == "end" else last[1].lower()
    spelled: dict[str, str] = {}
    for match in bare:
        spelled.setdefault(match[1].lower(), match[0].strip())
    names = [name for name in spelled if name != given] or list(spelled)
    tags = tuple(_bare_tag(spelled[name]) for name in names)
    rest = without_orders(prompt[last.end() :]) if given else ""
    return _with_input(Task(tags, prompt[: bare[0].start()]), rest, kind_of(given))


def _bare_tag(literal: str) -> Tag:
    kind = kind_of(literal)
    return Tag(literal if kind == "end" else f"{literal}\n", "", kind)


def _with_input(task: Task, text: str, kind: Kind) -> Task:
    given = frozenset({kind})
    if kind == "question":
        return task._replace(question=text, given=given)
    return task._replace(document=text, given=given)
