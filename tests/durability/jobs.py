"""What jobs are killed on: a taxonomy whose every step lasts, with a precomputed dataset to be mixed in.

Repositories carry ballast so that fetching lasts, documents are HTML, which is converted in processes that
take a while, and the default recipe names many rows. What becomes of a sample depends on its text alone, and
each leaf node has words of its own: so no two of them ask the same, which only one memory would know.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
from taxonomies import commit, grounded, knowledge, pairs, skill, write_files

__all__ = ["JOBS", "JobScene", "write_job"]

FAULTS = """\
- {match: "Chapter 1 of document 1", fault: {kind: status, status: 400, message: nothing is said of this}}
- {rate: 0.02, fault: 503}
- {rate: 0.01, fault: reset}
- {rate: 0.01, fault: torn_json}
- {rate: 0.01, fault: truncated}
- {rate: 0.01, fault: {kind: status, status: 429, retry_after: 0.02}}
- {rate: 0.02, fault: {kind: slow, seconds: 0.3}}
"""
"""The first ends a sample for good, all others are mended by another attempt."""

RECIPE = "datasets:\n- {path: precomputed.jsonl, sampling_size: 1.0}\n"
SYLLABLES = tuple(first + second for first in "bdfgklmnprstvz" for second in "aeiou")


class JobScene(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be killed.

    Attributes:
        pipeline: its name.
        leaves: of each type.
        documents: of each knowledge leaf node.
        chapters: of each document.
        ballast: megabytes that each repository has beside them.
        precomputed: rows of the dataset of the default recipe.
    """

    pipeline: str
    leaves: int
    documents: int
    chapters: int
    ballast: int
    precomputed: int


JOBS = {
    "short": JobScene(pipeline="simple", leaves=1, documents=3, chapters=3, ballast=4, precomputed=8_000),
    "long": JobScene(pipeline="full", leaves=2, documents=4, chapters=2, ballast=24, precomputed=40_000),
}


def write_job(folder: Path, scene: JobScene) -> None:
    """Write taxonomy, repositories, the user's data directory and ``faults.yaml`` below a folder."""
    files = {}
    for number in range(scene.leaves):
        repo = folder / "repos" / str(number)
        documents = {
            f"{place}.html": _document(number * scene.documents + place, scene.chapters)
            for place in range(scene.documents)
        }
        ballast = random.Random(number).randbytes(scene.ballast * 2**20)
        found = commit(repo, {**documents, "ballast.bin": ballast})
        source = {"repo": f"file://{repo}", "commit": found, "patterns": ["*.html"]}
        words = _words(f"knowledge {number}", 5)
        files[f"knowledge/science/tides_{number}/qna.yaml"] = knowledge(
            document=source,
            document_outline=f"On {words[0]}.",
            seed_examples=[
                {"context": f"Of {word} {words[n]}.", "questions_and_answers": pairs(about=word)}
                for n, word in enumerate(_words(f"seeds {number}", 5))
            ],
        )
        for kind, made in (("note", grounded), ("haiku", skill)):
            files[f"compositional_skills/writing/{kind}_{number}/qna.yaml"] = made(
                **_skill(f"{kind} {number}")
            )
    write_files(folder / "taxonomy", files)
    recipes = write_files(folder / "data/instructlab/sdg/default_data_recipes", {"skills.yaml": RECIPE})
    with (recipes / "precomputed.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(_precomputed(number)) + "\n" for number in range(scene.precomputed))
    (folder / "faults.yaml").write_text(FAULTS, encoding="utf-8")


def _skill(name: str) -> dict[str, object]:
    """What a skill has of its own."""
    kind, *topics = _words(name, 6)
    seeds: list[dict[str, str]] = [
        {"question": f"Write a {kind} about {topic}.", "answer": f"{topic}, {topic}!"} for topic in topics
    ]
    if name.startswith("note"):
        seeds = [{"context": f"On {seed['answer']}", **seed} for seed in seeds]
    return {"task_description": f"Write a {kind}.", "seed_examples": seeds}


def _document(number: int, chapters: int) -> str:
    parts = []
    for chapter in range(chapters):
        words = random.Random(chapter).choices(_words(f"document {number} {chapter}", 40), k=300)
        text = f"Of document {number}, {chapter}: {' '.join(words)}."
        parts.append(f"<h1>Chapter {chapter} of document {number}</h1>\n<p>{text}</p>")
    return f"<html><body>{''.join(parts)}</body></html>"


def _words(name: str, count: int) -> list[str]:
    """Words that nobody else has, always the same for the same name."""
    dice = random.Random(name)
    return ["".join(dice.choices(SYLLABLES, k=4)) for _ in range(count)]


def _precomputed(number: int) -> dict[str, object]:
    messages = [
        {"role": "user", "content": f"What is {number}? {'Say it. ' * 20}"},
        {"role": "assistant", "content": f"A number. {'It is. ' * 20}"},
    ]
    return {"messages": messages, "metadata": "{}", "id": str(number)}
