"""Many runs told as one: sums, beats, and what is said once."""

from __future__ import annotations

import msgspec

from sdg_stream.events import (
    BlockReport,
    Event,
    Notice,
    Progress,
    RecordRejected,
    RunFinished,
    RunReport,
    RunStarted,
    TeacherReport,
)
from sdg_stream.generation.together import Together


def teacher(calls: int, kept: int = 0, repeated: int = 0) -> TeacherReport:
    """The account of a teacher."""
    return TeacherReport(calls=calls, saved_calls=1 + repeated, repeated_calls=repeated, kept_calls=kept)


def run_of(
    *, rows: int = 0, kept: int = 0, repeated: int = 0, blocks: tuple[BlockReport, ...] = ()
) -> RunReport:
    """The account of one run."""
    return RunReport(
        pipeline="p", roots=4, accepted=1, filtered=1, rejected=1, pending=1, roots_with_rejects=1,
        rows=rows, rejects=2, blocks=blocks, teacher=teacher(9, kept, repeated),
    )  # fmt: skip


class Heard:
    """Events, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event, /) -> None:
        self.events.append(event)


def job(heard: Heard, shared: TeacherReport | None = None) -> Together:
    """A job whose runs share a teacher."""
    return Together("generate simple", "out", lambda: shared, heard)


def test_counts_of_all_runs_are_added_up() -> None:
    """So are blocks of one kind; the order is that of the kinds."""
    together = job(Heard())
    one = BlockReport(name="gen", type="LLMBlock", records_in=3, records_out=2, rejected={"b": 1, "a": 2})
    other = BlockReport(name="gen", type="LLMBlock", records_in=5, records_out=5, rejected={"b": 4})
    only = BlockReport(name="judge", type="LLMBlock", records_in=1, unparsed_replies=1)
    together.note("tides", "knowledge", run_of(rows=3, blocks=(one, only)))
    together.note("bees", "knowledge", run_of(rows=4, blocks=(other,)))
    together.note("tides benchmark", "benchmark", run_of(rows=1, blocks=(one,)))
    report = together.report()
    assert (report.roots, report.accepted, report.filtered, report.rejected, report.pending) == (
        12,
        3,
        3,
        3,
        3,
    )
    assert (report.rows, report.rejects, report.roots_with_rejects) == (8, 6, 3)
    assert report.pipeline == "generate simple"
    assert report.output == "out"
    assert [block.name for block in report.blocks] == ["benchmark: gen", "knowledge: gen", "knowledge: judge"]
    assert report.blocks[1].records_in == 8
    assert report.blocks[1].records_out == 7
    assert report.blocks[1].rejected == {"a": 2, "b": 5}
    assert report.blocks[2].unparsed_replies == 1


def test_a_run_counts_once_however_often_it_is_told() -> None:
    """Its latest account stands."""
    together = job(Heard())
    hear = together.of("tides", "knowledge")
    hear(Progress(report=run_of(rows=1), roots_open=2))
    hear(Progress(report=run_of(rows=2), roots_open=1))
    hear(RunFinished(report=run_of(rows=3)))
    assert together.report().rows == 3
    assert together.report().roots == 4


def test_the_teacher_is_told_once_with_the_calls_that_the_runs_saved() -> None:
    """All runs share one; what was kept, and found again, only the runs know."""
    together = job(Heard(), teacher(10))
    together.note("tides", "knowledge", run_of(kept=2))
    together.note("bees", "knowledge", run_of(kept=3, repeated=4))
    shared = together.report().teacher
    assert shared is not None
    assert (shared.calls, shared.kept_calls) == (19, 5)
    assert (shared.saved_calls, shared.repeated_calls) == (5, 4)
    assert job(Heard()).report().teacher is None


def test_a_job_begins_and_ends_once() -> None:
    """Whatever its runs tell: they do not begin or end on the screen."""
    heard = Heard()
    together = job(heard)
    together.begin(("two leaf nodes",), "taxonomy")
    hear = together.of("tides", "knowledge")
    hear(RunStarted(pipeline="p", stages=(), input="i", output="o"))
    hear(RunFinished(report=run_of(rows=3)))
    report = together.end()
    assert [type(event) for event in heard.events] == [RunStarted, Progress, RunFinished]
    assert heard.events[0] == RunStarted(
        pipeline="generate simple", stages=("two leaf nodes",), input="taxonomy", output="out"
    )
    assert isinstance(heard.events[-1], RunFinished)
    assert heard.events[-1].report == report
    assert report.rows == 3


def test_progress_of_all_runs_comes_as_one() -> None:
    """With the open roots of all; not with every event of every run."""
    heard = Heard()
    together = job(heard)
    for number in range(50):
        for key in ("tides", "bees"):
            together.of(key, "knowledge")(Progress(report=run_of(rows=number), roots_open=3))
    told = [event for event in heard.events if isinstance(event, Progress)]
    assert len(told) == len(heard.events) < 10
    assert told[0].report.roots == 4
    together.of("tides", "knowledge")(RunFinished(report=run_of(rows=50)))
    assert together.report().rows == 99


def test_rejects_and_notices_say_whose_they_are() -> None:
    """A reject by the kind of its leaf node, a notice by its name; the same words come once."""
    heard = Heard()
    hear = job(heard).of("tides", "knowledge")
    rejected = RecordRejected(root=1, path=(), stage="gen", reason="unparsed_reply", message="no tag")
    notice = Notice(code="odd", level="warning", message="something is odd")
    hear(rejected)
    hear(notice)
    hear(notice)
    hear(msgspec.structs.replace(notice, message="else"))
    hear(Notice(code="going_on", level="info", message="going on"))
    assert heard.events == [
        msgspec.structs.replace(rejected, stage="knowledge: gen"),
        msgspec.structs.replace(notice, message="tides: something is odd"),
        msgspec.structs.replace(notice, message="tides: else"),
    ]


def test_nobody_needs_to_listen() -> None:
    """Without a hook the account is made all the same."""
    together = Together("generate simple", "out", lambda: None, None)
    together.begin((), "taxonomy")
    together.of("tides", "knowledge")(Progress(report=run_of(rows=2), roots_open=1))
    assert together.end().rows == 2
