"""The short version of ``kill_loop.py``: a few kills of real processes. The long version is a script."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from canary import CANARY
from kill_loop import Order, Trial, bench_of, kill_half_way, kill_repeatedly, undisturbed
from scenes import SCENES

GRACE = 0.3  # seconds: machines that run tests may have other things to do; the script allows 50 ms
SECONDS = 0.04  # a call


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls go out with the key that no file may hold."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


def check(trial: Trial) -> None:
    """Nothing was lost, doubled or withdrawn, and no more was asked again than was under way."""
    assert trial.wrong == []
    assert trial.unexplained == 0
    assert trial.repeats <= trial.bound


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("scene", "order"), [("stream", "input"), ("barrier", "none")])
def test_row_56_killed_runs_end_as_undisturbed_ones(tmp_path: Path, scene: str, order: Order) -> None:
    """Five kills at random moments, with fan-out, duplicates, rejects, faults; one scene with a barrier."""
    with bench_of(tmp_path, SCENES[scene], order, grace=GRACE, seconds=SECONDS) as bench:
        trial = kill_repeatedly(bench, undisturbed(bench), random.Random(7), 5)
    check(trial)
    assert trial.kills


@pytest.mark.timeout(120)
def test_row_56_a_kill_half_way_repeats_what_was_in_flight(tmp_path: Path) -> None:
    """Two stages, 64 in flight: at most these are asked again, and those that were answered just then."""
    scene = msgspec.structs.replace(SCENES["two_stages"], rows=400)
    with bench_of(tmp_path, scene, "input", grace=GRACE, seconds=SECONDS) as bench:
        trial = kill_half_way(bench, undisturbed(bench), random.Random(7), "out.jsonl")
    check(trial)
    assert len(trial.kills) == 1
    assert trial.kills[0].in_flight.total() <= 64
