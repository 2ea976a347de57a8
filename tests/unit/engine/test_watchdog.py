"""The watch over the event loop: one for all runs of a loop, whichever of them ends first."""

from __future__ import annotations

import threading
from functools import partial

import anyio
import pytest

from sdg_stream.abc import Context
from sdg_stream.blocks.rename_columns_block import RenameColumnsBlock
from sdg_stream.engine.watchdog import watch_loop

pytestmark = pytest.mark.anyio


def watching_threads() -> int:
    """How many threads watch a loop."""
    return sum(thread.name == "sdg-stream-watchdog" for thread in threading.enumerate())


async def block_once(name: str) -> None:
    """Hold up the loop inside of a block's method."""
    block = RenameColumnsBlock(RenameColumnsBlock.Config(columns_map={"a": "b"}), Context(name))
    released = threading.Event()

    def slow(self: RenameColumnsBlock) -> None:
        released.wait(0.5)

    slow(block)
    await anyio.lowlevel.checkpoint()


async def test_runs_side_by_side_share_one_watch() -> None:
    """Many runs start one thread, are all told of a block once, and another keeps it when one has ended."""
    found: list[list[str]] = [[] for _ in range(4)]
    scopes = [anyio.CancelScope() for _ in found]
    sender, receiver = anyio.create_memory_object_stream[str](100)

    def hear(number: int, name: str, _seconds: float) -> None:
        found[number].append(name)
        sender.send_nowait(name)

    async def watched(number: int) -> None:
        with scopes[number]:
            await watch_loop(partial(hear, number))

    async with sender, receiver, anyio.create_task_group() as tasks:
        for number in range(len(found)):
            tasks.start_soon(watched, number)
        await anyio.wait_all_tasks_blocked()
        assert watching_threads() == 1
        await block_once("first")
        assert [await receiver.receive() for _ in found] == ["first"] * 4
        scopes[0].cancel()
        await anyio.wait_all_tasks_blocked()
        await block_once("second")
        assert [await receiver.receive() for _ in found[1:]] == ["second"] * 3
        tasks.cancel_scope.cancel()
    assert found == [["first"], *[["first", "second"]] * 3]


async def test_a_block_that_is_slow_to_be_made_does_not_end_the_watch() -> None:
    """A block has no name until its base has been made: the watch goes on and tells of the next one."""
    sender, receiver = anyio.create_memory_object_stream[str](10)

    class Slow(RenameColumnsBlock):
        def __init__(self) -> None:
            threading.Event().wait(0.5)

    async with sender, receiver, anyio.create_task_group() as tasks:
        tasks.start_soon(watch_loop, lambda name, _seconds: sender.send_nowait(name))
        await anyio.wait_all_tasks_blocked()
        Slow()
        assert watching_threads() == 1
        await block_once("next")
        assert await receiver.receive() == "next"
        tasks.cancel_scope.cancel()
