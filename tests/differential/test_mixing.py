"""sdg_stream against upstream: training files, mixing and the benchmark, made of the same rows.

Upstream's files were recorded by ``record_mixing.py``; ids and random choices are made equal on both sides.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mixing_cases import FOLDER, SUFFIX, Case, load_cases

from sdg_stream.errors import ConfigError
from sdg_stream.mixing.benchmark import write_benchmark
from sdg_stream.mixing.mix import mix
from sdg_stream.mixing.recipe import load_recipe
from sdg_stream.mixing.training_files import TrainingFiles, write_test_file

CASES = load_cases()
RECORDED: dict[str, dict[str, Any]] = json.loads((FOLDER / "recorded.json").read_text(encoding="utf-8"))
QUIRKS = {
    "Q-MIX-1", "Q-MIX-2", "Q-MIX-3", "Q-MIX-5", "Q-MIX-6", "Q-MIX-7", "Q-MIX-8",
    "Q-EVAL-1", "Q-EVAL-2", "Q-GEN-1", "Q-GEN-2", "Q-GEN-3", "Q-GEN-4", "Q-IO-1",
}  # fmt: skip
"""Known accidents of upstream that show in these files."""


def run_ours(case: Case, spec: dict[str, Any], folder: Path) -> None:
    """Make the case's files in ``out``, as the commands do."""
    out = folder / "out"
    out.mkdir()
    if case.kind == "run":
        files = TrainingFiles(
            out,
            SUFFIX,
            system_prompt=spec.get("prompt", ""),
            instructions=spec.get("instructions"),
            data_dirs=[folder / "data" / "instructlab" / "sdg"],
        )
        for file in sorted((folder / "generated").iterdir(), reverse=True):  # in which order does not matter
            files.add_leaf(file)
        files.write_legacy()
        files.write_recipes()
        files.mix()
    elif case.kind == "mix":
        mix(load_recipe(folder / "recipe.yaml"), out / "mixed.jsonl", system_prompt=spec.get("prompt"))
    elif case.kind == "test":
        write_test_file(out / "test.jsonl", spec["samples"], spec.get("prompt"))
    else:
        write_benchmark(spec["rows"], spec["task"], out, SUFFIX)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_files_are_upstreams(case: Case, tmp_path: Path) -> None:
    """The same files with the same rows in the same order, or what the case says instead."""
    expected = {} if "error" in RECORDED[case.name] else dict(RECORDED[case.name])
    ours = case.spec.get("ours", {})
    try:
        run_ours(case, case.lay_out(tmp_path), tmp_path)
    except ConfigError:
        assert ours == {"error": "config"}
        assert case.normal(tmp_path) == {}
        return
    made = case.normal(tmp_path)
    assert made.keys() >= ours.keys()
    assert {file: made[file] for file in ours} == ours
    if "error" not in RECORDED[case.name]:
        assert made == expected | ours


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mixing_cases_say_why_they_differ(case: Case) -> None:
    """A case that differs names its quirk or the decision, and does differ; any other names neither."""
    recorded, ours = RECORDED[case.name], case.spec.get("ours", {})
    assert case.spec["shows"]
    assert case.differs == bool("quirk" in case.spec or "decision" in case.spec)
    assert case.spec.get("quirk", case.name) in case.name
    if case.differs:
        assert "error" in recorded or any(recorded[file] != content for file, content in ours.items())
    else:
        assert ("error" in recorded) == (ours == {"error": "config"})


def test_every_quirk_of_mixing_has_a_case() -> None:
    """Cases are named after the quirks that they show; all of them are recorded, and nothing else is."""
    assert {case.name.split("_")[0] for case in CASES if case.name.startswith("Q-")} == QUIRKS
    assert list(RECORDED) == [case.name for case in CASES]
