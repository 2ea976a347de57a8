"""Runs that end before their input: what they read, keep and report."""

from __future__ import annotations

import random

import pytest
from engine_blocks import Call, Group, engine_of, planned, yields

from sdg_stream.engine.limits import CANDIDATE_CAP, TARGET_REACHED, TOKENS_BUDGET, Limits
from sdg_stream.errors import ConfigError
from sdg_stream.record import Columns, Record

pytestmark = pytest.mark.anyio


async def half(record: Record) -> list[Columns]:
    """Two rows of every other root, none of the others."""
    await yields(random.Random(record.root).randrange(1, 30))
    return [{"k": k} for k in range(2)] if record.root % 2 else []


@pytest.mark.parametrize("order", ["input", "none"])
async def test_a_target_ends_the_feed_when_it_is_met(order: str) -> None:
    """An endless input, 500 rows wanted: hardly more are made, and every root that was read is decided."""
    engine, sink = engine_of(
        [planned(Call("half", half))],
        ({"n": n} for n in range(10**9)),
        order,  # type: ignore[arg-type]
        limits=Limits(target=500),
        slots=lambda: 16,
    )
    report = await engine.run()
    assert report.stopped == TARGET_REACHED
    assert 500 <= len(sink.rows) <= 500 + 2 * (2 * 16 + 16)
    assert report.pending == 0
    assert report.roots == report.accepted + report.filtered


async def test_the_candidate_cap_ends_a_hopeless_search() -> None:
    """Nothing is ever accepted: the run ends at the cap and says so."""

    async def never(record: Record) -> list[Columns]:
        return []

    engine, sink = engine_of(
        [planned(Call("never", never))],
        ({"n": n} for n in range(10**9)),
        limits=Limits(target=5, max_candidates=300),
    )
    report = await engine.run()
    assert (report.stopped, report.roots, sink.rows) == (CANDIDATE_CAP, 300, [])


async def test_a_token_budget_is_hardly_exceeded() -> None:
    """Each call costs 10 tokens: with a budget of 1,000 at most what was in flight comes on top."""
    spent = 0

    async def costly(record: Record) -> list[Columns]:
        nonlocal spent
        await yields(3)
        spent += 10
        return [record.columns]

    engine, sink = engine_of(
        [planned(Call("costly", costly))],
        ({"n": n} for n in range(10**9)),
        limits=Limits(max_tokens_total=1000),
        tokens=lambda: (spent, 0),
        slots=lambda: 8,
    )
    report = await engine.run()
    assert report.stopped == TOKENS_BUDGET
    assert 90 <= len(sink.rows) <= 100 + 2 * 8 + 16
    assert report.pending == 0


async def test_a_target_behind_a_barrier_is_refused() -> None:
    """No row is done before the input has ended: such a target could never be met in time."""
    with pytest.raises(ConfigError, match="waits for all records"):
        engine_of([planned(Group("all", list))], [{"n": 1}], limits=Limits(target=1))
