"""The work of the comparison: the same input, prompts and replies for every tool, and how long it must take.

Two kinds. ``ask`` is one call a row with prompts of 2 kB. ``chain`` is the freeform skills pipeline that
sdg_stream ships: ten questions from each seed in one reply, each judged, the fit ones answered, the answers
judged, the good ones kept. The simulated teacher's replies and service times depend on nothing but prompt and
temperature (0 everywhere), so that the calls of the work, its rows and the bound are known beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from driving import Stage, Tag, filled

from sdg_stream.catalog import pipelines_dir
from sdg_stream.config.yaml import load_yaml
from sdg_stream.simulator.replies import request_key, service_seconds, write_replies
from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.simulator.wire import read_chat

from .bounds import Call, best_makespan
from .teacher import MARK

__all__ = ["ASK", "Expected", "ask_rows", "chain_rows", "chain_stages", "expected", "write_rows"]

Row = dict[str, Any]

QUESTIONS_A_SEED = 10
DOCUMENT = "word " * 380
ASK = [
    Stage(
        name="ask",
        template="You are a judge.\n{{document}}\nJudge " + MARK + " {{number}}.",
        tags=[Tag("reply", "", "")],
    )
]


class Expected(NamedTuple):
    """What is known of a piece of work: the best makespan in seconds, how many calls, how many rows."""

    bound: float
    calls: int
    rows: int


def ask_rows(count: int) -> Iterator[Row]:
    """Rows of ``ask``."""
    return ({"number": number, "document": DOCUMENT} for number in range(count))


def chain_rows(count: int) -> Iterator[Row]:
    """Seeds of ``chain``."""
    for number in range(count):
        yield {
            "task_description": f"Explain {MARK} {number} to beginners",
            "seed_question": f"What is the answer to question number {number}?",
            "seed_response": f"It is {number * 7}.",
        }


@cache
def chain_stages() -> list[Stage]:
    """The four calls of ``chain``."""
    why_q, why_qa = {"why_q": "Evaluation", "score_q": "Score"}, {"why_qa": "Evaluation", "score_qa": "Score"}
    return [
        _stage("questions", "freeform_questions", {"question": "Question"}, many=True),
        _stage("judge_q", "evaluate_freeform_questions", why_q, keep=("score_q", 1.0)),
        _stage("answers", "freeform_responses", {"response": "Response"}),
        _stage("judge_qa", "evaluate_freeform_pair", why_qa, keep=("score_qa", 2.0)),
    ]


def _stage(
    name: str, prompt: str, tags: dict[str, str], *, many: bool = False, keep: tuple[str, float] | None = None
) -> Stage:
    """A shipped prompt as one text, with the mark, so that it counts as work."""
    data = load_yaml(pipelines_dir() / "prompts" / "skills" / f"{prompt}.yaml").data
    assert isinstance(data, dict)
    parts = ("system", "introduction", "principles", "examples", "generation")
    template = "\n".join(str(data[part]) for part in parts).replace("{{num_samples}}", str(QUESTIONS_A_SEED))
    pairs = [Tag(column, f"[Start of {tag}]", f"[End of {tag}]") for column, tag in tags.items()]
    return Stage(name, f"This is a {MARK}.\n{template}".strip(), pairs, many, keep)


def write_rows(rows: Iterable[Row], file: Path) -> Path:
    """An input file."""
    with file.open("w", encoding="utf-8") as opened:
        opened.writelines(json.dumps(row) + "\n" for row in rows)
    return file


def expected(stages: list[Stage], rows: Iterable[Row], settings: SimulatorSettings) -> Expected:
    """Make the calls of a piece of work without a server, to know what they must come to."""
    calls: list[Call] = []
    accepted = 0
    for row in rows:
        level: list[tuple[Row, int | None]] = [(row, None)]
        for depth, stage in enumerate(stages):
            following: list[tuple[Row, int | None]] = []
            for record, after in level:
                reply, seconds = _answer(filled(stage.template, record), settings)
                calls.append(Call(seconds, depth, after))
                following += [({**record, **new}, len(calls) - 1) for new in stage.parse(reply)]
            level = following
        accepted += len(level)
    return Expected(best_makespan(calls, settings.slots), len(calls), accepted)


def _answer(prompt: str, settings: SimulatorSettings) -> tuple[str, float]:
    """What the teacher answers, and how long it takes."""
    body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 2048}
    asked = read_chat(json.dumps(body).encode(), settings)
    key = request_key(settings, asked, asked.prompts[0])
    [reply] = write_replies(settings, asked, asked.prompts[0], key)
    return reply.text, service_seconds(settings, key, 0)
