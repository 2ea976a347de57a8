"""IterBlock: iterations of each kind of block, failures in some of them, and how its config is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import anyio
import pytest

from sdg_stream.abc import AsyncBlock, Block, BlockConfig, Context, Flow, GroupBlock, RowBlock
from sdg_stream.blocks.iter_block import IterBlock
from sdg_stream.errors import ConfigError, RecordError
from sdg_stream.record import Columns, Record
from sdg_stream.testing.run_blocks import make_block, run_blocks

pytestmark = pytest.mark.anyio


class Split(RowBlock["Split.Config"]):
    """A result for each letter, counting its own runs."""

    class Config(BlockConfig, frozen=True, kw_only=True):
        """Which column."""

        column: str

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.runs = 0

    @property
    def flow(self) -> Flow:
        """One to one, as far as it says."""
        return Flow(reads=frozenset((self.config.column,)), adds=("run",), one_to_one=True)

    def apply(self, columns: Columns) -> Iterable[Columns]:
        """As a generator, which fails late."""
        self.runs += 1
        run = self.runs
        text = columns.pop(self.config.column)
        for letter in text:
            if letter == str(run):
                raise RecordError("test", f"run {run}")
            yield {**columns, "letter": letter, "run": run}


class Ask(AsyncBlock[BlockConfig]):
    """Waits until ``together`` iterations wait, then answers with the end of the path; notes a call."""

    together = 0
    waiting = 0
    stops: Exception | None = None

    async def apply(self, record: Record) -> Sequence[Columns]:
        """The last first, to see that the order is kept."""
        index = record.path[-1]
        self.waiting += 1
        for _ in range(1000):
            if self.waiting >= self.together:
                break
            await anyio.lowlevel.checkpoint()
        else:
            raise AssertionError("iterations do not run at the same time")
        for _ in range(10 - index):
            await anyio.lowlevel.checkpoint()
        if record.calls is not None:
            record.calls.append({"index": index})
        if self.stops is not None:
            raise self.stops
        if index in record.columns.get("fail", ()):
            raise RecordError("test", f"iteration {index}")
        record.columns["index"] = index
        return [record.columns]


class AskTogether(Ask):
    """Needs three at a time."""

    together = 3
    uses_teacher = False


class Stop(Ask):
    """Ends the run."""

    stops = ValueError("a bug")


class Everyone(GroupBlock[BlockConfig]):
    """Tells each record how many there are, and drops the first."""

    def apply(self, records: list[Record]) -> Iterable[Record]:
        """Changes what it gets."""
        if records[0].columns.get("fail"):
            raise RecordError("test", "a group")
        for record in records:
            record.columns["of"] = len(records)
        return records[1:]


KINDS: dict[str, type[Block[Any]]] = {
    kind.__name__: kind for kind in (Split, Ask, AskTogether, Stop, Everyone, IterBlock)
}


def resolve(name: str) -> type[Block[Any]]:
    """A catalog of the blocks above."""
    try:
        return KINDS[name]
    except KeyError:
        raise ConfigError(f"unknown block type {name!r}") from None


def iterate(kind: str, times: Any = 3, **config: Any) -> Block[Any]:
    """An iterated block."""
    context = Context("block", resolve=resolve, notice=lambda *notice: NOTICES.append(notice))
    return make_block(IterBlock, {"num_iters": times, "block_type": kind, **config}, context)


NOTICES: list[tuple[str, str]] = []


@pytest.fixture(autouse=True)
def _no_notices() -> None:
    NOTICES.clear()


async def test_row_blocks_give_all_results_iteration_by_iteration() -> None:
    """Each iteration gets the columns as they were, though the nested block changes them."""
    block = iterate("Split", 2, column="x")
    assert isinstance(block, RowBlock)
    outcome = await run_blocks([block], [{"x": "ab", "k": 0}])
    assert [(row["letter"], row["run"]) for row in outcome.rows] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


async def test_async_blocks_run_at_the_same_time_and_keep_the_order() -> None:
    """All iterations of a record are under way at once; results stand in iteration order."""
    block = iterate("AskTogether", 3)
    assert isinstance(block, AsyncBlock)
    assert not block.uses_teacher
    outcome = await run_blocks([block], [{"x": 1}])
    assert outcome.rows == [{"x": 1, "index": index} for index in range(3)]


async def test_each_iteration_has_a_path_of_its_own_and_calls_are_kept() -> None:
    """Equal prompts are told apart by path; the record ends up with all calls, once, in order."""
    block = cast("AsyncBlock[Any]", iterate("Ask", 3))
    record = Record(7, {}, (1,), [{"index": "before"}])
    assert len(await block.apply(record)) == 3
    assert record.calls == [{"index": index} for index in ("before", 0, 1, 2)]


async def test_group_blocks_run_on_all_records_each_time() -> None:
    """Results are forks that stand at the iteration's index."""
    block = iterate("Everyone", 2)
    assert isinstance(block, GroupBlock)
    records = [Record(root, {"n": root}) for root in range(3)]
    results = list(block.apply(records))
    assert [(record.root, record.path, record.columns) for record in results] == [
        (root, (iteration,), {"n": root, "of": 3}) for iteration in range(2) for root in (1, 2)
    ]


@pytest.mark.parametrize("kind", ["Split", "Ask", "Everyone"])
async def test_no_iterations_filter_every_record(kind: str) -> None:
    """Nothing is wrong, nothing comes out."""
    config = {"column": "x"} if kind == "Split" else {}
    assert await run_blocks([iterate(kind, 0, **config)], [{"x": "a"}]) == ([], [])


async def test_a_failed_iteration_is_left_out_with_a_notice() -> None:
    """The record goes on with what the others gave, in rows and in async blocks."""
    outcome = await run_blocks([iterate("Split", 3, column="x")], [{"x": "a2"}])
    assert [row["run"] for row in outcome.rows] == [1, 1, 3, 3]
    outcome = await run_blocks([iterate("Ask", 3)], [{"fail": [0, 2]}])
    assert [row["index"] for row in outcome.rows] == [1]
    assert outcome.rejects == []
    assert [code for code, _ in NOTICES] == ["iteration_failed"] * 2
    assert NOTICES[1][1] == (
        "block: iterations that failed so far: 1; their records go on with the other ones."
        " The latest: test: iteration 0"
    )


async def test_many_failures_are_told_at_1_10_100() -> None:
    """Notices do not flood."""
    await run_blocks([iterate("Ask", 4)], [{"fail": [0, 1, 2]}] * 40)
    assert [message.partition("far: ")[2].partition(";")[0] for _, message in NOTICES] == ["1", "10", "100"]


@pytest.mark.parametrize(
    ("kind", "row"), [("Split", {"x": "123"}), ("Ask", {"fail": [0, 1, 2]}), ("Everyone", {"fail": True})]
)
async def test_if_all_iterations_fail_the_record_ends_with_the_first(kind: str, row: Columns) -> None:
    """The error is a plain RecordError, and there is no notice beside it."""
    config = {"column": "x"} if kind == "Split" else {}
    outcome = await run_blocks([iterate(kind, 3, **config)], [row])
    assert outcome.rows == []
    assert [error.message for _, error in outcome.rejects] in (["run 1"], ["iteration 0"], ["a group"])
    assert NOTICES == []


async def test_a_bug_surfaces_as_itself() -> None:
    """No exception group around what an iteration raises."""
    with pytest.raises(ValueError, match="a bug"):
        await run_blocks([iterate("Stop", 2)], [{}])


async def test_q_iter_1_nested_keys_stand_flat_or_under_block_config() -> None:
    """Kept: next to num_iters; a mapping of their own is accepted, too, and blocks nest."""
    flat = iterate("Split", "2", column="x")
    nested = iterate("Split", 2, block_config={"column": "x"})
    assert flat.config == nested.config
    twice = iterate("IterBlock", 2, block_config={"num_iters": 3, "block_type": "Ask"})
    outcome = await run_blocks([twice], [{}])
    assert [row["index"] for row in outcome.rows] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"num_iters": 2, "block_type": "Splitt", "column": "x"},
            "$.block_type: unknown block type 'Splitt'",
        ),
        ({"num_iters": -1, "block_type": "Ask"}, "$: num_iters is -1; it cannot be negative"),
        ({"num_iters": "many", "block_type": "Ask"}, '$.num_iters: expected int, got "many"'),
        ({"block_type": "Ask"}, "$: the key 'num_iters' is missing"),
        ({"num_iters": 2, "block_type": "Split", "column": 3}, "$.column: expected text, got 3"),
        (
            {"num_iters": 2, "block_type": "Split", "colum": "x"},
            "$.colum: unknown key 'colum'; did you mean 'column'?",
        ),
        (
            {"num_iters": 2, "block_type": "Split", "block_config": {"column": 3}},
            "$.block_config.column: expected text, got 3",
        ),
    ],
)
def test_mistakes_in_the_config_have_their_place(config: dict[str, Any], expected: str) -> None:
    """Own keys and nested ones are reported where they stand."""
    with pytest.raises(ConfigError) as caught:
        make_block(IterBlock, config, Context("block", resolve=resolve))
    assert f"<config>: {expected}" in str(caught.value).splitlines()


def test_flow_is_the_nested_ones_but_not_one_to_one() -> None:
    """What is unknown of the nested block stays unknown."""
    assert iterate("Split", column="x").flow == Flow(reads=frozenset("x"), adds=("run",))
    assert iterate("Ask").flow is None
    assert iterate("Everyone").flow is None
