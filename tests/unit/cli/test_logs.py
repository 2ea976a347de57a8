"""Log lines on the screen."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from sdg_stream.cli.logs import LogHook, configure_logging
from sdg_stream.events import Notice, RecordRejected
from sdg_stream.observe.progress import Silent


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root, ours = logging.getLogger(), logging.getLogger("sdg_stream")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def rejected(root: int) -> RecordRejected:
    """A reject."""
    return RecordRejected(
        root=root, path=(1, 2), stage="gen", reason="unparsed_reply", message="no tag", server="a\x1b[31mb"
    )


def logged(level: str, *, as_json: bool = False) -> list[str]:
    """What a run with two notices and two rejects, and a foreign library, log at a level."""
    stream = io.StringIO()
    configure_logging(Silent(stream), level, as_json=as_json)
    hook = LogHook()
    hook(Notice(code="api", message="API: chat"))
    hook(Notice(code="slow", message="it is slow", level="warning"))
    hook(rejected(3))
    hook(rejected(4))
    logging.getLogger("elsewhere").info("chatter")
    logging.getLogger("elsewhere").warning("trouble\nin two lines")
    return stream.getvalue().splitlines()


FIRST = 'warning: First unparsed_reply at gen, root 3: no tag; the teacher said: "ab"'


def test_info_shows_notices_and_the_first_reject_of_a_kind() -> None:
    """The default level: what a person should know, harmless, one line each; of others only warnings."""
    assert logged("info") == [
        "note: API: chat",
        "warning: it is slow",
        FIRST,
        "warning: trouble in two lines",
    ]


def test_levels_hide_and_show() -> None:
    """Warning hides notices, error hides all of these, debug shows each reject and everybody's chatter."""
    assert logged("warning") == ["warning: it is slow", FIRST, "warning: trouble in two lines"]
    assert logged("error") == []
    debug = logged("debug")
    assert "debug: unparsed_reply at gen, root 4 path 1.2: no tag" in debug
    assert "note: chatter" in debug


def test_json_lines() -> None:
    """Each line is an object with time, level, logger, message and, of notices, the code."""
    first, *_ = [json.loads(line) for line in logged("info", as_json=True)]
    assert sorted(first) == ["code", "level", "logger", "message", "time"]
    assert (first["code"], first["level"], first["message"]) == ("api", "info", "API: chat")


@pytest.mark.parametrize("as_json", [False, True])
def test_exceptions_are_shown(as_json: bool) -> None:
    """A library that logs an exception has it shown."""
    stream = io.StringIO()
    configure_logging(Silent(stream), "info", as_json=as_json)
    logging.getLogger("elsewhere").error("went wrong", exc_info=ValueError("deep down"))
    assert "ValueError: deep down" in stream.getvalue()
