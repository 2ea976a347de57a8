"""Progress as lines, as JSON and as a panel."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from sample_reports import ALL_FILTERED, EMPTY, GOOD, REJECT

from sdg_stream.events import Event, Notice, Progress, RunFinished, RunReport, RunStarted
from sdg_stream.observe.live import LivePanel, panel
from sdg_stream.observe.progress import (
    JsonLines,
    Mode,
    PlainLines,
    Silent,
    choose_mode,
    open_screen,
    seconds_left,
    status_line,
)

STARTED = RunStarted(
    pipeline="full/[bold]knowledge", stages=("1 calls gen",), input="in.jsonl", output="out.jsonl"
)
HALF = Progress(report=GOOD, roots_open=20, roots_total=800)


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class BrokenStream(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text: str) -> int:
        """Fail."""
        raise BrokenPipeError


@pytest.mark.parametrize(
    ("mode", "terminal", "dumb", "chosen"),
    [
        ("auto", True, False, "rich"),
        ("auto", True, True, "plain"),
        ("auto", False, False, "plain"),
        ("json", True, False, "json"),
        ("rich", False, False, "rich"),
    ],
)
def test_auto_draws_only_on_terminals(mode: Mode, terminal: bool, dumb: bool, chosen: Mode) -> None:
    """A panel on a terminal that can draw, lines elsewhere, and what was asked for when something was."""
    assert choose_mode(mode, terminal=terminal, dumb=dumb) == chosen


def test_open_screen_knows_each_mode() -> None:
    """Each mode has its screen."""
    stream = io.StringIO()
    kinds = {mode: type(open_screen(mode, stream)) for mode in ("rich", "plain", "json", "none")}
    assert kinds == {"rich": LivePanel, "plain": PlainLines, "json": JsonLines, "none": Silent}


def test_status_line() -> None:
    """Time, roots, rows, losses, calls, what is in flight, and what is left."""
    assert status_line(HALF) == (
        "0:42  roots 400/800 (50%)  rows 812 (19.3/s)  filtered 15  rejects 12"
        "  calls 1,204  in flight 61/64  left 0:42"
    )
    assert status_line(Progress(report=EMPTY, roots_open=0)) == "0:00  roots 0/0 read  rows 0 (0.0/s)"


def test_seconds_left_is_unknown_at_first() -> None:
    """Nothing is promised before a root is decided or while the size of the input is not known."""
    assert seconds_left(Progress(report=EMPTY, roots_open=1, roots_total=5)) is None
    assert seconds_left(Progress(report=GOOD, roots_open=1)) is None


def test_plain_lines_come_on_a_beat() -> None:
    """One line at the start, then one each ten seconds, however often progress comes."""
    stream, clock = io.StringIO(), Clock()
    screen = PlainLines(stream, every=10.0, now=clock)
    screen(STARTED)
    for second in range(31):
        clock.now = second
        screen(HALF)
    screen.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "full/[bold]knowledge: in.jsonl -> out.jsonl"
    assert len(lines) == 4


def test_a_dead_end_is_said_once() -> None:
    """A block that lets nothing through is named as soon as that is clear, and once."""
    stream = io.StringIO()
    screen = PlainLines(stream)
    for _ in range(3):
        screen(Progress(report=ALL_FILTERED, roots_open=0))
    assert stream.getvalue() == "warning: no record has come through block judge so far\n"


def test_json_lines_hold_each_event() -> None:
    """Each event is one ASCII line of JSON with its kind and the time."""
    stream = io.StringIO()
    screen = JsonLines(stream)
    reject = type(REJECT)(root=1, path=(0, 2), stage="s", reason="r", message="bad \x9b31m \ud83d")
    events: list[Event] = [STARTED, HALF, reject, Notice(code="c", message="m"), RunFinished(report=GOOD)]
    for event in events:
        screen(event)
    screen.line("words")
    lines = stream.getvalue().splitlines()
    assert stream.getvalue().isascii()
    kinds = [json.loads(line)["event"] for line in lines]
    assert kinds == ["run_started", "progress", "record_rejected", "notice", "run_finished", "line"]
    assert json.loads(lines[1])["report"]["rows"] == 812
    assert json.loads(lines[2])["path"] == [0, 2]


def test_silent_shows_lines_only() -> None:
    """No progress, but no word is lost either."""
    stream = io.StringIO()
    screen = Silent(stream)
    screen(HALF)
    screen.line("a\x1b[31mb")
    screen.close()
    assert stream.getvalue() == "ab\n"


def test_a_broken_stream_stops_nothing() -> None:
    """When the reader of the progress has left, the run goes on in silence."""
    screen = PlainLines(BrokenStream(), every=0.0)
    screen(STARTED)
    screen(HALF)
    screen.line("more")


def test_panel_shows_gauges_and_funnel() -> None:
    """The panel names pipeline and files, roots, slots, rows and each block; markup is text."""
    console = Console(file=io.StringIO(), width=100, markup=False)
    with console.capture() as capture:
        console.print(panel(HALF, STARTED))
    text = capture.get()
    for words in (
        "full/[bold]knowledge",
        "400/800",
        "50%",
        "61/64 in flight",
        "812 accepted",
        "12 rejects",
        "filter",
    ):
        assert words in text


def test_panel_before_the_first_progress() -> None:
    """There is something to look at at once, also for an input of unknown size and no teacher."""
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(panel(None, STARTED))
        console.print(panel(Progress(report=RunReport(pipeline="p", roots=3), roots_open=3), None))
    assert "in.jsonl → out.jsonl" in capture.get()


def test_live_panel_vanishes_and_keeps_lines() -> None:
    """Lines stay on the screen, harmless; the panel is taken off it."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, markup=False, color_system=None)
    live = LivePanel(stream, console)
    live(STARTED)
    live(Progress(report=ALL_FILTERED, roots_open=0))
    live.line("a \x1b]0;owned\x07[red]line")
    live.close()
    live.close()
    text = stream.getvalue()
    assert "a [red]line\n" in text
    assert "owned" not in text
    assert "warning: no record has come through block judge" in text
