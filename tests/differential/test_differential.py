"""sdg_stream against upstream: the same pipelines, the same deterministic teacher, the rows compared.

Upstream's rows were recorded by ``record.py``; each case says whether ours are the same, and if not, why not.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from casefiles import FOLDER, Case, load_cases
from ours import PROBES, Outcome, run_ours
from server import digest, from_transcript, scripted, serve
from wheel import files_or_skip

CASES = load_cases()
OWN = [case for case in CASES if "shipped" not in case.spec]
SHIPPED = [case for case in CASES if "shipped" in case.spec]
QUIRKS = {
    "COMBINE": 1, "COND": 3, "FILTER": 5, "IO": 2, "ITER": 1, "LLM": 6, "MAJ": 1, "MSG": 1, "PANDAS": 1,
    "PARSE": 7, "PIPE": 3, "POP": 1, "PROMPT": 4, "RENAME": 1, "SCHEMA": 1, "SELECT": 1,
}  # fmt: skip
"""Known accidents of upstream that show in the rows of a pipeline: Q-COND-1 to Q-COND-3, and so on."""


def recorded(case: Case) -> dict[str, Any]:
    """What upstream gave: ``rows`` and ``columns``, or ``error``; with shipped pipelines a ``transcript``."""
    path = FOLDER / "recorded" / f"{case.topic}.json"
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))[case.name]
    return result


def as_lines(rows: list[dict[str, Any]], case: Case) -> list[str]:
    """Rows as JSON lines, so that 1 and 1.0, and the order of columns, make a difference."""
    lines = [json.dumps(row) for row in rows]
    return sorted(lines) if case.spec.get("order") == "any" else lines


def check(case: Case, outcome: Outcome) -> None:
    """Compare with what upstream gave or, where the case differs on purpose, with what the case says."""
    upstream = recorded(case)
    expected = case.ours.get("rows", []) if case.differs or "error" in upstream else upstream["rows"]
    assert outcome.error == case.ours.get("error"), outcome.details
    assert as_lines(outcome.rows, case) == as_lines(expected, case), outcome.details
    if "rejected" in case.ours:
        assert outcome.rejected == case.ours["rejected"]


@pytest.fixture(scope="session")
def upstream_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Upstream's pipelines and prompts, from the wheel that pip fetches."""
    return files_or_skip(pytestconfig, tmp_path_factory.mktemp("upstream"))


@pytest.mark.anyio
@pytest.mark.parametrize("case", OWN, ids=lambda case: case.id)
async def test_pipelines_of_our_own(case: Case, tmp_path: Path) -> None:
    """Small pipelines give upstream's rows, or differ in the way and for the reason that the case states."""
    async with serve(scripted, case.manners) as url:
        check(case, await run_ours(case, case.write(tmp_path), url, tmp_path))


@pytest.mark.anyio
@pytest.mark.parametrize("case", SHIPPED, ids=lambda case: case.id)
async def test_shipped_pipelines(case: Case, tmp_path: Path, upstream_folder: Path) -> None:
    """Upstream's own pipelines run unchanged, send the same prompts to the byte, and give upstream's rows."""
    transcript = {digest(prompt): ["", ""] for prompt in PROBES} | recorded(case)["transcript"]
    async with serve(from_transcript(transcript)) as url:
        pipeline = upstream_folder / "pipelines" / f"{case.spec['shipped']}.yaml"
        check(case, await run_ours(case, pipeline, url, tmp_path))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_cases_say_why_they_differ(case: Case) -> None:
    """A case that differs names its quirk or the decision, does differ, and any other case names neither."""
    upstream = recorded(case)
    assert case.spec["shows"]
    assert case.differs == bool("quirk" in case.spec or "decision" in case.spec)
    assert (case.spec.get("order") == "any") == ("reason" in case.spec)
    if "quirk" in case.spec:
        assert case.name.startswith(case.spec["quirk"]) or case.spec["quirk"] == "Q-IO-2"
    if case.differs:
        same_rows = as_lines(upstream.get("rows", []), case) == as_lines(case.ours.get("rows", []), case)
        assert not same_rows or "error" in {*upstream, *case.ours}
    else:
        assert ("error" in upstream) == bool(case.ours)


def test_every_quirk_has_a_case() -> None:
    """Every known accident of upstream that shows in a pipeline's rows has a case named after it."""
    known = {f"Q-{group}-{number}" for group, last in QUIRKS.items() for number in range(1, last + 1)}
    named = {match[0] for case in CASES if (match := re.match(r"Q-[A-Z]+-\d+", case.name))}
    assert named == known


def test_recorded_is_what_the_cases_ask_for() -> None:
    """Nothing is recorded that has no case any more, and every case is recorded."""
    for path in (FOLDER / "recorded").glob("*.json"):
        names = list(json.loads(path.read_text(encoding="utf-8")))
        assert names == [case.name for case in CASES if case.topic == path.stem]
