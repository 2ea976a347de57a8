"""Leaf nodes side by side on one teacher: whose error is whose, what each is told, and in what order."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from sdg_stream.abc import Completion, Request
from sdg_stream.config.settings import Settings
from sdg_stream.errors import ConfigError, OutputError, RecordError, TeacherUnusable
from sdg_stream.events import Event, Notice, RunReport
from sdg_stream.generation.leaf_pipelines import BENCHMARK, FILES, LeafPipelines
from sdg_stream.generation.leaf_runs import LeafRuns, LeafWork, told
from sdg_stream.generation.together import Together
from sdg_stream.io.iterables import IterableSource
from sdg_stream.pipeline import Pipeline
from sdg_stream.state.keep import Keep
from sdg_stream.taxonomy.samples_file import SamplesFile
from sdg_stream.testing.scripted import Reply, ScriptedTeacher, prompt_text

pytestmark = pytest.mark.anyio

PROMPT = """
system: ""
introduction: Say something.
principles: ""
examples: ""
generation: "{kind}: {{{{topic}}}} ."
start_tags: [""]
end_tags: [""]
"""
ASK = """
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config: {{config_path: {kind}_prompt.yaml, output_cols: [answer]}}
"""
WITH_A_BUG = ASK + "  - {{name: divide, type: 'broken:Divide', config: {{}}}}\n"
BROKEN = '''"""A block with a bug in it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from sdg_stream.abc import RowBlock


class Nothing(msgspec.Struct):
    """It has no options."""


class Divide(RowBlock[Nothing]):
    """Fails with a topic that is no number, which nobody has thought of."""

    Config = Nothing

    def apply(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Divide."""
        return [{**row, "half": int(row["topic"]) / 2}]
'''


def pipelines(folder: Path, **texts: str) -> LeafPipelines:
    """Small pipelines of all kinds, each of which asks once a sample."""
    (folder / "broken.py").write_text(BROKEN)
    loaded = {}
    for kind in (*FILES, "benchmark"):
        (folder / f"{kind}_prompt.yaml").write_text(PROMPT.format(kind=kind))
        (folder / f"{kind}.yaml").write_text(texts.get(kind, ASK).format(kind=kind))
        loaded[kind] = Pipeline.load(
            folder / f"{kind}.yaml", Settings(model_family="mixtral"), plugins=[folder]
        )
    assert BENCHMARK
    benchmark = loaded.pop("benchmark")
    return LeafPipelines("small", loaded, benchmark)


def samples(*topics: str) -> list[dict[str, Any]]:
    """Samples about topics."""
    return [{"topic": topic} for topic in topics]


def work(
    folder: Path, name: str, *topics: str, kind: str = "freeform_skill", benchmark: bool = False
) -> LeafWork:
    """A leaf node whose samples are there."""
    return LeafWork(
        name=name,
        kind=kind,
        source=lambda: IterableSource(samples(*topics), name=name, identity=name),
        rows=folder / f"{name}.jsonl",
        benchmark=folder / f"{name}_benchmark.jsonl" if benchmark else None,
    )


def from_samples(
    folder: Path, name: str, rows: Callable[[], AsyncGenerator[dict[str, Any], None]]
) -> LeafWork:
    """A knowledge leaf node whose samples are still to be made."""
    file = SamplesFile(folder / f"{name}_samples.jsonl")
    return LeafWork(
        name=name,
        kind="knowledge",
        source=lambda: IterableSource(file.rows(), name=name, identity=name),
        rows=folder / f"{name}.jsonl",
        benchmark=folder / f"{name}_benchmark.jsonl",
        samples=(file, rows),
    )


def topics_in(file: Path) -> list[str]:
    """The topics of the rows in a file."""
    return [json.loads(line)["topic"] for line in file.read_text(encoding="utf-8").splitlines()]


class Runs:
    """Leaf runs, with what was told and what came to its end."""

    def __init__(self, chosen: LeafPipelines, teacher: ScriptedTeacher, **options: Any) -> None:
        self.events: list[Event] = []
        self.done: list[tuple[str, str, int]] = []
        together = Together("job", "out", lambda: None, self.events.append)
        self.runs = LeafRuns(
            chosen, teacher, together=together, rows_done=self._rows, benchmark_done=self._benchmark,
            **{"keep": Keep(), "at_once": 4, **options},
        )  # fmt: skip

    async def run(self, *leaves: LeafWork) -> None:
        """Do all of it."""
        with anyio.fail_after(20):
            await self.runs.run(leaves)

    @property
    def notices(self) -> list[str]:
        """The words of all notices about failed leaf nodes."""
        return [
            event.message
            for event in self.events
            if isinstance(event, Notice) and event.code == "leaf_failed"
        ]

    async def _rows(self, leaf: LeafWork, report: RunReport) -> None:
        self.done.append(("rows", leaf.name, report.rows))

    async def _benchmark(self, leaf: LeafWork, report: RunReport) -> None:
        self.done.append(("benchmark", leaf.name, report.rows))


def answering(**replies: Reply) -> ScriptedTeacher:
    """A teacher that answers with a word, or as told when a prompt has a certain word in it."""

    def reply(request: Request) -> Reply:
        found = (reply for word, reply in replies.items() if f" {word} " in prompt_text(request))
        return next(found, "fine")

    return ScriptedTeacher(reply)


async def test_each_leaf_node_has_its_pipeline(tmp_path: Path) -> None:
    """And its output; knowledge has a benchmark besides."""
    teacher = answering()
    runs = Runs(pipelines(tmp_path), teacher)
    await runs.run(
        work(tmp_path, "tides", "a", kind="knowledge", benchmark=True),
        work(tmp_path, "haiku", "b"),
        work(tmp_path, "sum", "c", kind="grounded_skill"),
    )
    asked = sorted(prompt_text(request).split("\n")[-1] for request in teacher.requests)
    kinds = sorted(word for text in asked for word in text.split() if word.endswith(":"))
    assert kinds == ["benchmark:", "freeform_skill:", "grounded_skill:", "knowledge:"]
    assert sorted(runs.done) == [
        ("benchmark", "tides", 1), ("rows", "haiku", 1), ("rows", "sum", 1), ("rows", "tides", 1),
    ]  # fmt: skip
    assert topics_in(tmp_path / "tides.jsonl") == ["a"]
    assert topics_in(tmp_path / "tides_benchmark.jsonl") == ["a"]
    assert runs.runs.reports.keys() == {"tides", "haiku", "sum"}
    assert runs.runs.errors == {}


async def test_samples_are_asked_about_while_others_are_made(tmp_path: Path) -> None:
    """The second chunk comes only after the first one was answered."""
    answered = anyio.Event()

    def reply(_request: Request) -> Reply:
        answered.set()
        return "fine"

    async def rows() -> AsyncGenerator[dict[str, Any], None]:
        yield {"topic": "first"}
        await answered.wait()
        yield {"topic": "second"}

    runs = Runs(pipelines(tmp_path), ScriptedTeacher(reply))
    await runs.run(from_samples(tmp_path, "tides", rows))
    for name in ("tides", "tides_benchmark", "tides_samples"):
        assert topics_in(tmp_path / f"{name}.jsonl") == ["first", "second"]


async def test_a_leaf_node_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    """Its error is told once, though its writer and both of its readers meet it."""

    async def rows() -> AsyncGenerator[dict[str, Any], None]:
        yield {"topic": "first"}
        raise ConfigError("a.pdf: cannot be read")

    runs = Runs(pipelines(tmp_path), answering())
    await runs.run(from_samples(tmp_path, "tides", rows), work(tmp_path, "haiku", "b", "c"))
    assert [str(error) for error in runs.runs.errors["tides"]] == ["a.pdf: cannot be read"]
    assert runs.runs.errors.keys() == {"tides"}
    assert runs.notices == ["tides does not come to its end; the others go on. a.pdf: cannot be read"]
    assert runs.done == [("rows", "haiku", 2)]
    assert topics_in(tmp_path / "haiku.jsonl") == ["b", "c"]


async def test_what_a_failed_leaf_node_has_made_is_used_when_it_is_tried_again(tmp_path: Path) -> None:
    """No question is asked twice."""
    chosen = pipelines(tmp_path)

    async def broken() -> AsyncGenerator[dict[str, Any], None]:
        for topic in "abc":
            yield {"topic": topic}
        raise ConfigError("a.pdf: cannot be read")

    async def mended() -> AsyncGenerator[dict[str, Any], None]:
        for topic in "abcd":
            yield {"topic": topic}

    first, second = answering(), answering()
    await Runs(chosen, first).run(from_samples(tmp_path, "tides", broken))
    runs = Runs(chosen, second)
    await runs.run(from_samples(tmp_path, "tides", mended))
    assert sorted(runs.done) == [("benchmark", "tides", 4), ("rows", "tides", 4)]
    assert len(first.requests) + len(second.requests) == 8
    assert topics_in(tmp_path / "tides.jsonl") == ["a", "b", "c", "d"]


async def test_a_bug_in_a_block_fails_its_leaf_node_only(tmp_path: Path) -> None:
    """It is told with its kind and where it was."""
    chosen = pipelines(tmp_path, grounded_skill=WITH_A_BUG)
    runs = Runs(chosen, answering())
    await runs.run(
        work(tmp_path, "halves", "4", "four", kind="grounded_skill"), work(tmp_path, "haiku", "b", "c")
    )
    [error] = runs.runs.errors["halves"]
    assert isinstance(error, ValueError)
    assert told(error).startswith("ValueError: invalid literal for int() with base 10: 'four' (")
    assert "divide" in told(error)
    assert runs.done == [("rows", "haiku", 2)]
    assert len(runs.notices) == 1


async def test_a_teacher_that_refuses_a_record_is_no_failure(tmp_path: Path) -> None:
    """The record is a reject, and the leaf node comes to its end."""
    runs = Runs(pipelines(tmp_path), answering(b=RecordError("request_refused", "no")))
    await runs.run(work(tmp_path, "haiku", "a", "b"))
    assert runs.runs.errors == {}
    assert runs.runs.reports["haiku"].rejects == 1
    assert runs.done == [("rows", "haiku", 1)]


@pytest.mark.parametrize("error", [TeacherUnusable("the key is refused"), OutputError("the disk is full")])
async def test_what_concerns_all_ends_all(tmp_path: Path, error: Exception) -> None:
    """Nobody can go on without the teacher, or on a full disk; what was settled is kept."""
    runs = Runs(pipelines(tmp_path), answering(b=error), at_once=1)
    with pytest.raises(ExceptionGroup) as caught:
        await runs.run(*(work(tmp_path, f"leaf{n}", topic) for n, topic in enumerate("abc")))
    inner: BaseException = caught.value
    while isinstance(inner, ExceptionGroup):
        [inner] = inner.exceptions
    assert inner is error
    assert runs.runs.errors == {}
    assert runs.done == [("rows", "leaf0", 1)]


async def test_knowledge_and_skills_go_by_turns(tmp_path: Path) -> None:
    """So that skills keep the teacher busy while documents are cut."""
    teacher = answering()
    runs = Runs(pipelines(tmp_path), teacher, at_once=1)
    knowledge = [work(tmp_path, f"k{n}", f"k{n}", kind="knowledge") for n in range(2)]
    skills = [work(tmp_path, f"s{n}", f"s{n}") for n in range(3)]
    await runs.run(*knowledge, *skills)
    assert [name for _, name, _ in runs.done] == ["k0", "s0", "k1", "s1", "s2"]


async def test_no_more_leaf_nodes_than_wanted_are_worked_on_at_once(tmp_path: Path) -> None:
    """Two have their turn together; the third has to wait."""
    begun: list[str] = []
    both = anyio.Event()

    async def reply(request: Request) -> None:
        begun.append(prompt_text(request))
        if len(begun) == 2:
            both.set()
        await both.wait()

    class Waiting(ScriptedTeacher):
        """Answers once two have asked."""

        async def complete(self, request: Request) -> Completion:
            await reply(request)
            assert len(begun) <= 2 or len(runs.done) >= len(begun) - 2
            return await super().complete(request)

    runs = Runs(pipelines(tmp_path), Waiting(lambda _: "fine"), at_once=2)
    await runs.run(*(work(tmp_path, f"s{n}", f"s{n}") for n in range(5)))
    assert len(runs.done) == 5
