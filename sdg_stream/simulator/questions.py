"""Writes series of questions: open ones, ones with answers, and multiple-choice ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .compose import Writer
from .language import topics
from .numbers import asked_count
from .phrases import ABOUT_PASSAGE, QUESTIONS
from .tags import Kind

__all__ = ["write_reply"]

_OPTIONS = re.compile(r"^\s*A\) ", re.MULTILINE)
_LETTERS = "ABCD"
_FILLERS = ("nothing in particular", "a subject left out here", "the opposite", "an unrelated detail")


def write_reply(writer: Writer) -> str:
    """The whole reply to the writer's task."""
    tags = writer.task.tags
    kinds = {tag.kind for tag in tags}
    if "question" not in kinds:
        return _tagged(writer, {})
    answered = "answer" in kinds
    optioned = answered and _OPTIONS.search(f"{writer.task.instructions}\n{writer.task.question}")
    asked = (_multiple_choices(writer) if optioned else []) or _asked(writer, answered=answered)
    return "\n\n".join(
        _tagged(writer, {"question": question, "answer": answer}) for question, answer in asked
    )


def _tagged(writer: Writer, texts: dict[Kind, str]) -> str:
    return "\n".join(
        f"{tag.opening}{texts.get(tag.kind) or writer.content(tag.kind)}{tag.closing}"
        for tag in writer.task.tags
    )


def _asked(writer: Writer, *, answered: bool) -> list[tuple[str, str]]:
    """Questions, all different, each with an answer if one is wanted."""
    lines: Sequence[str | None] = writer.shuffled(writer.lines) or [None]
    sources = [(line, topics(line or "") or writer.subjects) for line in lines]
    if lines == [None]:
        sources = [(None, (topic,)) for topic in writer.shuffled(writer.subjects)]
    phrases = writer.shuffled(ABOUT_PASSAGE if writer.lines else QUESTIONS)
    count = _count(writer, answered=answered)
    if answered and writer.lines:
        count = min(count, len(sources))  # a sentence answers one question
    pairs: list[tuple[str, str]] = []
    for number in range(min(count, len(sources) * len(phrases))):
        turn, place = divmod(number, len(sources))
        line, near = sources[place]
        topic = near[turn % len(near)]
        question = writer.fill(phrases[(place + turn) % len(phrases)], topic)
        pairs.append((question, writer.answer(question, line) if answered else ""))
    return pairs


def _multiple_choices(writer: Writer) -> list[tuple[str, str]]:
    """Questions with four options, each with the right one."""
    count = _count(writer, answered=True)
    found = [topics(line) for line in writer.shuffled(writer.lines)[:count]]
    return [_multiple_choice(writer, near) for near in found if near]


def _count(writer: Writer, *, answered: bool) -> int:
    """About the number that is asked for; a few if none is."""
    wanted = asked_count(writer.task.instructions)
    if wanted is None or (answered and wanted == 1):
        return writer.draw.randint(2, 5)
    return wanted - writer.draw.randrange(1 + wanted // 8)


def _multiple_choice(writer: Writer, near: Sequence[str]) -> tuple[str, str]:
    """A question about the first topic of a sentence; the right option is the next one."""
    right = near[min(1, len(near) - 1)]
    others = [other for other in writer.subjects if other not in near]
    wrong = [*writer.draw.sample(others, min(3, len(others))), *_FILLERS][:3]
    options = writer.shuffled([right, *wrong])
    listed = [f"{letter}) {option}" for letter, option in zip(_LETTERS, options, strict=True)]
    about = f"connect with {near[0]}" if right != near[0] else "deal with"
    question = "\n".join((f"Which of these does the passage {about}?", "", *listed))
    return question, listed[options.index(right)]
