"""Records with a common document stay together where they wait, and nobody waits for ever."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.engine.grouping import SHORT, GroupedChannel, Grouping, document_of
from sdg_stream.record import Record

pytestmark = pytest.mark.anyio


def record(root: int, document: str) -> Record:
    """A record whose longest column is that document."""
    return Record(root, {"question": f"number {root}", "document": document * SHORT})


def test_the_longest_text_is_the_document() -> None:
    """Equal for rows that share it; short texts and other values are none."""
    row = {"a": "short", "document": "x" * SHORT, "list": ["y" * 2 * SHORT], "number": 5}
    assert document_of(row) == document_of({"other": "x" * SHORT, "b": "z"})
    assert document_of(row) != document_of({"document": "y" * SHORT})
    assert document_of({"a": "x" * (SHORT - 1)}) is None
    assert document_of({}) is None


def test_items_of_the_last_key_go_first_then_the_oldest() -> None:
    """The order of keys is that of their first items."""
    waiting: Grouping[str] = Grouping(100)
    for item in ("a1", "b1", "a2", "c1", "b2", "a3"):
        waiting.put(ord(item[0]), item)
    taken = [waiting.take() for _ in range(4)]
    waiting.put(ord("b"), "b3")
    taken += [waiting.take() for _ in range(3)]
    assert taken == ["a1", "a2", "a3", "b1", "b2", "b3", "c1"]
    assert len(waiting) == 0
    with pytest.raises(IndexError):
        waiting.take()


def test_items_without_a_key_stay_in_order() -> None:
    """They are not alike only because neither has a document."""
    waiting: Grouping[int] = Grouping(100)
    for number, key in enumerate([None, 1, None, 1, None]):
        waiting.put(key, number)
    assert [waiting.take() for _ in range(5)] == [0, 1, 3, 2, 4]


@given(st.lists(st.integers(0, 3), max_size=120), st.integers(0, 8), st.integers(1, 20))
def test_nobody_is_overtaken_by_more_than_the_patience(
    keys: list[int], patience: int, waiting_at_once: int
) -> None:
    """Whatever comes, every item leaves once, and after at most so many later ones."""
    waiting: Grouping[int] = Grouping(patience)
    left: list[int] = []
    for number, key in enumerate(keys):
        waiting.put(key, number)
        if len(waiting) > waiting_at_once:
            left.append(waiting.take())
    while len(waiting):
        left.append(waiting.take())
    assert sorted(left) == list(range(len(keys)))
    for place, number in enumerate(left):
        assert sum(other > number for other in left[:place]) <= patience


async def test_a_channel_groups_what_waits_in_it() -> None:
    """A receiver that comes late finds the documents together, each in its own order."""
    channel = GroupedChannel(8)
    for root, document in enumerate("ababca"):
        await channel.send(record(root, document))
    assert len(channel) == 6
    channel.close()
    assert [(await channel.receive()).root for _ in range(6)] == [0, 2, 5, 1, 3, 4]
    with pytest.raises(anyio.EndOfStream):
        channel.take()
    channel.abandon()


async def test_a_channel_nobody_fills_up_hands_over_as_it_came() -> None:
    """Receivers that wait get each record at once: grouping never holds anything back."""
    channel, roots = GroupedChannel(8), list[int]()

    async def receive() -> None:
        while True:
            try:
                roots.append((await channel.receive()).root)
            except anyio.EndOfStream:
                return

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        for root, document in enumerate("ababab"):
            await channel.send(record(root, document))
            await anyio.lowlevel.checkpoint()
        channel.close()
    assert roots == list(range(6))
    channel.abandon()


async def test_a_full_channel_is_back_pressure() -> None:
    """The sender waits while as many records as the depth wait, and goes on when one was taken."""
    channel, sent = GroupedChannel(2), list[int]()

    async def send() -> None:
        for root in range(4):
            await channel.send(record(root, "a"))
            sent.append(root)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        assert sent == [0, 1]
        assert channel.take() is not None
        await anyio.wait_all_tasks_blocked()
        assert sent == [0, 1, 2]
        tasks.cancel_scope.cancel()
    channel.abandon()
