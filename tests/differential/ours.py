"""The one place where the differential test touches sdg_stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casefiles import Case
from server import MODEL

import sdg_stream

PROBES = ("test",)
"""Prompts that are sent to learn what the server can do; their replies do not matter."""


@dataclass
class Outcome:
    """What sdg_stream made of a case."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    """Numbers of the input rows that have a reject, ascending."""
    error: str | None = None
    """``config`` if the pipeline was refused before it ran."""
    details: str = ""
    """For the message of a failing test: the error's text, or the rejects."""


async def run_ours(case: Case, pipeline: Path, url: str, folder: Path) -> Outcome:
    """Run the case as a user would: from a file to a file, in input order."""
    source, output = folder / "in.jsonl", folder / "out.jsonl"
    text = case.spec.get("jsonl") or "".join(f"{json.dumps(row)}\n" for row in case.rows)
    source.write_text(text, encoding="utf-8")
    try:
        loaded = sdg_stream.Pipeline.load(pipeline, _settings(case))
        async with sdg_stream.connect(url, model=MODEL, concurrency=8, max_attempts=2) as teacher:
            await loaded.run(source, output, teacher, order="input")
    except sdg_stream.ConfigError as error:
        return Outcome(error="config", details=str(error))
    rejects = _rows(folder / "out.jsonl.run" / "rejects.jsonl")
    numbers = sorted({reject["root"] for reject in rejects})
    return Outcome(_rows(output), numbers, details="\n".join(map(str, rejects)))


def _settings(case: Case) -> sdg_stream.Settings:
    """The case's context by our names; how upstream batches has no meaning here."""
    names = {"num_instructions_to_generate": "num_instructions"}
    given = {names.get(name, name): value for name, value in case.context.items() if name != "batch_size"}
    return sdg_stream.Settings(**{"model_id": MODEL, **given})


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
