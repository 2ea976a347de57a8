"""Slots: who gets one, in which order, and what a change of the limit does."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sdg_stream.teacher.admission import Admission

pytestmark = pytest.mark.anyio


async def turns(count: int = 5) -> None:
    """Let everything that can run do so."""
    for _ in range(count):
        await checkpoint()


async def test_the_deepest_block_goes_first_then_the_oldest_root() -> None:
    """Whatever the order in which they came."""
    admission = Admission(1)
    await admission.acquire(0, 0, 1)
    order: list[tuple[int, int]] = []

    async def call(depth: int, root: int) -> None:
        await admission.acquire(depth, root, 1)
        order.append((depth, root))
        admission.release(1)

    async with anyio.create_task_group() as tasks:
        for depth, root in [(0, 1), (2, 5), (0, 0), (2, 3), (1, 0)]:
            tasks.start_soon(call, depth, root)
        await turns()
        admission.release(1)
    assert order == [(2, 3), (2, 5), (1, 0), (0, 0), (0, 1)]


async def test_choices_cost_a_slot_each() -> None:
    """One more call is let in while any slot is free, even if it costs more than that."""
    admission = Admission(4)
    await admission.acquire(0, 0, 3)
    await admission.acquire(0, 1, 3)
    assert (admission.in_use, admission.saturated) == (6, True)
    with anyio.move_on_after(0) as scope:
        await admission.acquire(0, 2, 1)
    assert scope.cancelled_caught
    admission.release(3)
    assert not admission.saturated
    await admission.acquire(0, 3, 1)
    assert admission.in_use == 4


async def test_more_slots_are_handed_out_at_once() -> None:
    """Those who wait need not wait for a release."""
    admission = Admission(1)
    await admission.acquire(0, 0, 1)
    async with anyio.create_task_group() as tasks:
        for root in range(3):
            tasks.start_soon(admission.acquire, 0, root, 1)
        await turns()
        assert admission.in_use == 1
        admission.resize(3)
        await turns()
        assert admission.in_use == 3
        admission.resize(4)
    assert admission.in_use == 4


async def test_fewer_slots_wait_for_those_in_use() -> None:
    """Nothing is taken away; nobody is let in before enough came back."""
    admission = Admission(4)
    for root in range(4):
        await admission.acquire(0, root, 1)
    admission.resize(2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(admission.acquire, 0, 9, 1)
        await turns()
        admission.release(1)
        admission.release(1)
        await turns()
        assert admission.in_use == 2
        admission.release(1)
    assert admission.in_use == 2


@pytest.mark.parametrize("granted", [False, True])
async def test_a_cancelled_waiter_leaves_its_slot_to_others(granted: bool) -> None:
    """Also when it was cancelled in the moment in which it got one."""
    admission = Admission(1)
    await admission.acquire(0, 0, 1)

    async def call() -> None:
        await admission.acquire(0, 1, 1)
        try:
            await anyio.sleep_forever()
        finally:
            admission.release(1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await turns()
        if granted:
            admission.release(1)
        tasks.cancel_scope.cancel()
    if not granted:
        admission.release(1)
    assert admission.in_use == 0
    await admission.acquire(0, 2, 1)


async def test_slots_can_be_taken_out_of_turn() -> None:
    """The call that asks whether a server is back does not wait behind those that hang."""
    admission = Admission(1)
    await admission.acquire(0, 0, 1)
    admission.take(1)
    assert admission.in_use == 2
    admission.release(1)
    assert admission.saturated
    assert admission.busy_slot_seconds <= admission.slot_seconds
