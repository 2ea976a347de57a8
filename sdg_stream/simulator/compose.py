"""Writes the parts of a reply from a task's own sentences and topics and a source of chance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from random import Random
from typing import NamedTuple

from .language import best_match, sentences, topics
from .numbers import scale_of
from .phrases import (
    ABOUT_PASSAGE,
    ANSWERS,
    BAD_REASONS,
    CLOSERS,
    GOOD_REASONS,
    OPENERS,
    QUESTIONS,
    REMARKS,
    TITLES,
)
from .reader import read_task
from .tags import Kind
from .task import Task, verdict_words

__all__ = ["Material", "Writer", "read_material"]

GOOD_SHARE = 0.88  # of judgements that are good: a pipeline with three judges keeps two thirds
_LONGEST_TAIL = 40  # sentences added to an answer at most
_MAIN_TOPICS = 8
_FEW_TOPICS = 3
_LAST_WORDS = 2000  # characters of a prompt that says nothing about its inputs
_DESCRIPTION = re.compile(
    r"(?:\btask(?: description)?(?: given)?(?: is|:| -)|\bquestions -|\bcontext for -)\s+(\S.{3,200})"
)


class Material(NamedTuple):
    """A task with the sentences of its document and the topics of its texts: the same for all choices."""

    task: Task
    lines: Sequence[str]
    subjects: Sequence[str]


def read_material(prompt: str) -> Material:
    """Read a prompt, without its chat template, once for all its choices."""
    task = read_task(prompt)
    lines = sentences(task.document)
    if "question" in task.given or not task.document:
        subjects = topics(" . ".join((task.question, *_described(task.instructions))))
    else:
        subjects = ()
    if len(subjects) < _FEW_TOPICS:
        subjects = tuple(dict.fromkeys(subjects + topics(task.document)))
    if not subjects and not (task.document or task.question or task.answer):
        subjects = topics(prompt.rpartition("\n\n")[2]) or topics(prompt[-_LAST_WORDS:])
    facts = [line for line in lines if line[-1] != "?"] or lines
    return Material(task, facts, subjects or topics(task.answer) or ("the subject",))


@lru_cache(maxsize=256)
def _described(instructions: str) -> tuple[str, ...]:
    """What the instructions say that the task is about."""
    return tuple(_DESCRIPTION.findall(instructions))


class Writer:
    """Writes one reply; each method uses up some chance.

    Args:
        material: what there is to write about.
        draw: the source of chance; the same seed gives the same reply.
    """

    def __init__(self, material: Material, draw: Random) -> None:
        self.task, self.lines, self.subjects = material
        self.draw = draw
        self.good = draw.random() < GOOD_SHARE

    def content(self, kind: Kind) -> str:  # noqa: PLR0911 - a table of kinds
        """The text of one tag, or of a whole plain reply."""
        if self.task.options:
            return self.draw.choice(self.task.options)
        match kind:
            case "question":
                return self.fill(self.draw.choice(ABOUT_PASSAGE if self.lines else QUESTIONS))
            case "answer":
                return self.answer(self.task.question)
            case "verdict":
                return (verdict_words(self.task.instructions) or ("YES", "NO"))[not self.good]
            case "score":
                return str(self.score())
            case "reason":
                return self.reason()
            case "pair":
                return self.pair()
            case "title":
                return self.fill(self.draw.choice(TITLES))
            case "end":
                return ""
            case "copy" if self.task.document:
                return self.task.document
            case "facts" | "extract" | "summary" if self.lines:
                return self.digest(kind)
            case _:
                return self.paragraph()

    def topic(self) -> str:
        """One of the main topics."""
        return self.draw.choice(self.subjects[:_MAIN_TOPICS])

    def fill(self, phrase: str, topic: str = "") -> str:
        """A phrase with its topics filled in."""
        topic = topic or self.topic()
        other = self.topic() if "{u}" in phrase else ""
        text = phrase.format(t=topic, u=other if other != topic else "its surroundings")
        return text[0].upper() + text[1:]

    def shuffled(self, items: Sequence[str]) -> list[str]:
        """The items in an order of chance."""
        return self.draw.sample(items, len(items))

    def tail(self) -> int:
        """How many sentences lengthen a text: long-tailed, two as a rule, now and then dozens."""
        return min(int(self.draw.lognormvariate(0.6, 1.0)), _LONGEST_TAIL)

    def remarks(self, count: int) -> list[str]:
        """Sentences that lengthen a text without saying much."""
        phrases: list[str] = []
        while len(phrases) < count:
            phrases += self.shuffled(REMARKS)
        return [self.fill(phrase) for phrase in phrases[: max(count, 0)]]

    def answer(self, question: str, first: str | None = None) -> str:
        """An answer: the sentence that fits best, what follows it in the document, then perhaps remarks."""
        first = first or best_match(question, self.lines)
        tail = self.tail()
        if first is None:
            topic = topics(question)[:1]
            return " ".join([self.fill(self.draw.choice(ANSWERS), *topic), *self.remarks(tail + 1)])
        place = self.lines.index(first) + 1
        after = self.lines[place : place + tail]
        return " ".join([first, *after, *self.remarks((tail - len(after)) // 2)])

    def reason(self) -> str:
        """Why a judge judges so."""
        given = self.task.given
        style = "question" if "answer" not in given else "grounded" if self.lines else "answer"
        judged = self.task.answer or self.task.question
        sentence = best_match(judged, self.lines) or ""
        phrase = self.draw.choice((GOOD_REASONS if self.good else BAD_REASONS)[style])
        text = phrase.format(t=(topics(judged) or self.subjects)[0], s=sentence)
        return " ".join([text, *self.remarks(self.tail() // 2)])

    def score(self) -> int:
        """A score: near the upper end of the scale if the judgement is good, near the lower end if not."""
        low, high = scale_of(self.task.instructions, self.task.numbers)
        if low == 0 and high <= 2:
            return high if self.good else low
        spread = 1 + (high - low + 1) // 3
        return (
            high - self.draw.randrange(spread) if self.good else low + self.draw.randrange(max(1, spread - 1))
        )

    def pair(self) -> str:
        """A question and its answer in one text; the only question mark ends the question."""
        line = self.draw.choice(self.lines) if self.lines else None
        found = topics(line) if line else ()
        phrase = self.draw.choice([phrase for phrase in ABOUT_PASSAGE + QUESTIONS if phrase[-1] == "?"])
        question = self.fill(phrase, self.draw.choice((found or self.subjects)[:3]))
        return f"{question} {self.answer(question, line)}"

    def paragraph(self) -> str:
        """A few sentences of the document in a new order, with a beginning and an end."""
        kept = self.shuffled(self.lines[:12])
        kept = kept[: self.draw.randint((len(kept) + 1) // 2, len(kept))]
        opener, closer = self.fill(self.draw.choice(OPENERS)), self.fill(self.draw.choice(CLOSERS))
        return " ".join([opener, *kept, *self.remarks(self.tail() // 2 + 2 * (not kept)), closer])

    def digest(self, kind: Kind) -> str:
        """What the document says: as numbered facts, in its own sentences, or as prose in paragraphs."""
        share = {"facts": 0.9, "extract": 0.6}.get(kind, 0.75)
        kept = [line for line in self.lines if self.draw.random() < share] or self.lines[:1]
        if kind == "facts":
            return "\n".join(f"{number}. {line}" for number, line in enumerate(kept, 1))
        if kind == "extract":
            return " ".join(kept)
        parts = iter([self.fill("The document is about {t}."), *kept])
        return "\n\n".join(iter(lambda: " ".join(islice(parts, 4)), ""))
