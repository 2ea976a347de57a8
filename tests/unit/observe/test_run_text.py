"""A run directory in words: every state, what is pending, and what to type next."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sample_reports import GOOD

from sdg_stream.events import BlockReport, RunReport
from sdg_stream.observe.run_text import cache_text, run_text
from sdg_stream.observe.text import size
from sdg_stream.state.reading import CacheSummary, RunSummary, SessionSummary

ACCOUNT = replace(
    GOOD,
    blocks=(
        BlockReport(name="ask", type="LLMBlock", records_in=400, records_out=1500, rejected={"refused": 3}),
        BlockReport(name="judge", type="LLMBlock", records_in=1500, rejected={"unparsed_reply": 9}),
    ),
)


def session(ended: str = "finished", **more: Any) -> SessionSummary:
    """One session of 42 seconds."""
    fields: dict[str, Any] = {
        "began": "2026-08-01T10:00:00+00:00",
        "ended": ended,
        "seconds": 42.0,
        "version": "0.1.0",
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "attempts": 10,
    }
    return SessionSummary(**{**fields, **more})


def summary(state: str = "finished", **more: Any) -> RunSummary:
    """A run with one session that ended so."""
    fields: dict[str, Any] = {
        "output": "out.jsonl",
        "rejects_file": "out.jsonl.run/rejects.jsonl",
        "state": state,
        "pipeline": "full/knowledge",
        "input": "in.jsonl",
        "command": "sdg-stream run full/knowledge -i in.jsonl -o out.jsonl",
        "account": ACCOUNT,
        "settled_below": 400,
        "sessions": (session(state),),
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "attempts": 10,
        "cache": CacheSummary(file="out.jsonl.run/state.db", answers=1234, bytes=5_600_000),
    }
    return RunSummary(**{**fields, **more})


def test_a_finished_run() -> None:
    """The account, the funnel, rejects by stage and reason, and how to run those again."""
    lines = run_text(summary()).splitlines()
    assert lines[0] == "out.jsonl: finished"
    assert "roots     400 settled = 380 accepted + 15 filtered + 5 rejected" in lines
    assert "pending   nothing" in lines
    assert "rejects   12, in 9 roots: out.jsonl.run/rejects.jsonl" in lines
    assert "tokens    1,000 in, 200 out, in 10 attempts of all sessions" in lines
    assert "cache     1,234 answers, 5.6 MB" in lines
    assert any(line.startswith("ask") and "1,500" in line for line in lines)
    begin = lines.index("rejects  stage  reason")
    assert lines[begin + 1 : begin + 3] == ["      9  judge  unparsed_reply", "      3  ask    refused"]
    assert lines[-2:] == [
        "This runs the 9 roots with rejects again:",
        "  sdg-stream run full/knowledge -i in.jsonl -o out.jsonl --retry-rejected",
    ]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("killed", "out.jsonl: killed, or it could not write any more"),
        ("stopped", "out.jsonl: stopped"),
        ("TeacherUnusable", "out.jsonl: TeacherUnusable"),
        ("token budget", "out.jsonl: token budget"),
    ],
)
def test_a_run_with_something_left_to_do(state: str, words: str) -> None:
    """What is pending, exactly, and the command that goes on."""
    lines = run_text(summary(state, settled_below=380, settled_beyond=20)).splitlines()
    assert lines[0] == words
    assert "pending   input row 381 and all behind it, but for 20 that are settled" in lines
    assert lines[-2:] == ["This goes on from there:", f"  {summary().command}"]
    again = run_text(summary(state, again=2)).splitlines()
    assert "pending   input row 401 and all behind it; 2 roots to be run again" in again
    assert "The same call" in run_text(summary(state, command="")).splitlines()[-1]


def test_a_command_that_was_typed_for_another_place() -> None:
    """It would begin another run there, so what is to be put right comes before it."""
    for state, begin in (("stopped", "This goes on from there"), ("finished", "This runs the 9 roots with")):
        *_, words, command = run_text(summary(state, typed_for="/old/out.jsonl\x1b[31m")).splitlines()
        assert words.startswith(begin)
        assert words.endswith(", once its paths are those of here (its output is /old/out.jsonl):")
        assert summary().command in command


def test_a_run_under_way() -> None:
    """Who runs it, and nothing to type."""
    text = run_text(summary("running", used_by="process 7 on here, since then"))
    assert text.startswith("out.jsonl: running (process 7 on here, since then)\n")
    assert "sdg-stream run" not in text


def test_before_the_first_root_is_settled() -> None:
    """No account, no funnel; nothing fails for lack of them."""
    text = run_text(summary("not begun", account=None, sessions=(), input="", pipeline=""))
    assert text.startswith("out.jsonl: no session has begun\n")
    assert "pipeline  ?" in text
    assert "roots" not in text


def test_an_edited_run_beside_it() -> None:
    """How far it is, and that the output is still the old one."""
    edited = RunReport(pipeline="p", roots=30, rows=40)
    text = run_text(summary("killed", edited=edited))
    assert "An edited run is under way beside it: 30 roots settled, 40 rows. The output stays" in text


def test_sessions_are_listed_and_old_ones_counted() -> None:
    """The latest twelve, numbered, with how each ended."""
    sessions = (*(session("killed") for _ in range(19)), session("finished", seconds=3700.0, began="then"))
    lines = run_text(summary(sessions=sessions)).splitlines()
    [first] = [line for line in lines if line.startswith("sessions")]
    assert first == "sessions  8 earlier ones"
    after = lines[lines.index(first) + 1 :]
    assert after[0].split()[0] == "9"
    assert after[11].split() == ["20", "then", "1:01:40", "finished"]


def test_foreign_words_are_made_harmless() -> None:
    """Names, errors and commands come from files that anybody may have written."""
    text = run_text(
        summary("bad\x1b[31m", input="in\x1b]0;x\x07", command="rm\x1b[2J\nsecond", pipeline="p\x9b1m")
    )
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "  rm second" in text


def test_shared_answers() -> None:
    """Those of a cache folder, beside a run's own or alone."""
    shared = CacheSummary(file="cache/calls.db", answers=1, bytes=12)
    assert cache_text(shared) == "cache     1 answer, 12 bytes in cache/calls.db"
    assert cache_text(shared) in run_text(summary(), shared).splitlines()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (5_600_000, "5.6 MB"),
        (3 * 10**15, "3,000.0 TB"),
    ],
)
def test_sizes(number: int, words: str) -> None:
    """Bytes in the unit in which they are read best."""
    assert size(number) == words
