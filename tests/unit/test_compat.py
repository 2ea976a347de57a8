"""The parts behind upstream's functions: clients that are read, loggers, event loops, errors, folders."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

import sdg_stream as sdg
from sdg_stream.compat import client as clients
from sdg_stream.compat.calling import as_generate_exception, run_to_end
from sdg_stream.compat.client import connection
from sdg_stream.compat.common import existing_rules, folder_of, leaf_files
from sdg_stream.compat.leaves import tell_checkpoints
from sdg_stream.compat.telling import LoggerHook, tell_unused
from sdg_stream.errors import ConfigError, TeacherUnusable
from sdg_stream.events import Notice, Progress, RecordRejected, RunReport, TeacherReport

KEY = "sk-0123456789"
URL = "http://localhost:8000/v1"


def hook_of(caplog: pytest.LogCaptureFixture, *, quiet: bool = False) -> LoggerHook:
    """A hook to a logger whose lines are kept."""
    caplog.set_level(logging.DEBUG)
    return LoggerHook(logging.getLogger("mine"), quiet=quiet)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and words of what was logged."""
    return [(record.levelname, record.getMessage()) for record in caplog.records]


# ---------------------------------------------------------------- clients


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What clients were read as."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(clients, "connect", lambda url, **more: calls.append({"url": url, **more}))
    return calls


def hear(event: object, /) -> None:
    """A hook that nobody listens to."""


def test_a_client_is_read_for_address_and_key(asked: list[dict[str, Any]]) -> None:
    """Nothing else is needed; what it leaves open is as anywhere."""
    connection(SimpleNamespace(base_url=f"{URL}/", api_key=KEY), "m", hear)
    connection(SimpleNamespace(base_url=URL), None, hear)
    shared = {"timeout": 600.0, "max_attempts": 6, "hook": hear}
    assert asked == [
        {"url": f"{URL}/", "api_key": KEY, "model": "m", **shared},
        {"url": URL, "api_key": None, "model": None, **shared},
    ]


@pytest.mark.parametrize(
    ("settings", "timeout", "attempts"),
    [
        ({"timeout": 5, "max_retries": 9}, 5.0, 10),
        ({"timeout": SimpleNamespace(connect=5.0, read=60), "max_retries": 2}, 60.0, 6),
        ({"timeout": None, "max_retries": 0}, 600.0, 6),
        ({"timeout": object(), "max_retries": None}, 600.0, 6),
    ],
)
def test_time_and_retries_count(
    asked: list[dict[str, Any]], settings: dict[str, Any], timeout: float, attempts: int
) -> None:
    """A time that is set; of retries those beyond what is done anyway."""
    connection(SimpleNamespace(base_url=URL, api_key=KEY, **settings), None, hear)
    assert (asked[0]["timeout"], asked[0]["max_attempts"]) == (timeout, attempts)


def test_a_key_that_is_no_text_is_left(asked: list[dict[str, Any]]) -> None:
    """Such as a function that would give one."""
    connection(SimpleNamespace(base_url=URL, api_key=lambda: KEY), None, hear)
    assert asked[0]["api_key"] is None


@pytest.mark.parametrize(
    "client", [None, SimpleNamespace(api_key=KEY), SimpleNamespace(base_url="", api_key=KEY)]
)
def test_what_has_no_address_is_no_client(client: object) -> None:
    """It is said what to give, and the key is not repeated."""
    with pytest.raises(ConfigError, match="client has no base_url") as told:
        connection(client, None, hear)
    assert KEY not in str(told.value)


# ---------------------------------------------------------------- loggers


def test_notices_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """By their level, on one harmless line, warnings once."""
    hook = hook_of(caplog)
    hook(Notice(code="a", message="asking\nm"))
    for _ in range(2):
        hook(Notice(code="b", message="odd \x1b[31m", level="warning"))
    assert lines(caplog) == [("INFO", "asking m"), ("WARNING", "odd [31m")]


def test_quiet_is_without_info(caplog: pytest.LogCaptureFixture) -> None:
    """Warnings come all the same."""
    hook = hook_of(caplog, quiet=True)
    hook(Notice(code="a", message="asking"))
    hook(Notice(code="b", message="odd", level="warning"))
    hook.notice("c", "one document")
    assert lines(caplog) == [("WARNING", "odd"), ("WARNING", "one document")]


def test_the_first_reject_of_each_kind_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Others are for those who look closely."""
    hook = hook_of(caplog)
    for root in range(2):
        hook(
            RecordRejected(stage="ask", reason="unparsed_reply", message=f"no tag {root}", root=root, path=())
        )
    assert lines(caplog) == [
        ("WARNING", "first reject of its kind at ask: unparsed_reply: no tag 0"),
        ("DEBUG", "ask: unparsed_reply: no tag 1"),
    ]


def test_progress_is_told_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every ten seconds, in a line."""
    now = [100.0]
    monkeypatch.setattr("sdg_stream.compat.telling.time.monotonic", lambda: now[0])
    hook, report = hook_of(caplog), RunReport(pipeline="p", roots=1500, accepted=3, filtered=1, rows=7)
    for seconds in (101.0, 111.0, 112.0):
        now[0] = seconds
        hook(Progress(report=report, roots_open=2))
    now[0] = 122.0
    hook(Progress(report=RunReport(pipeline="p", teacher=TeacherReport(calls=2000)), roots_open=2))
    assert lines(caplog) == [
        ("INFO", "7 rows so far; of 1,500 samples 4 are done; 0 calls"),
        ("INFO", "0 rows so far; of 0 samples 0 are done; 2,000 calls"),
    ]


def test_very_long_words_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A log is no place for a document."""
    hook_of(caplog).warn("x" * 5000)
    assert len(caplog.records[0].getMessage()) == 2000


def test_arguments_without_effect_are_told_together(caplog: pytest.LogCaptureFixture) -> None:
    """Those that are not as by default; None counts as that."""
    hook = hook_of(caplog)
    tell_unused(hook, num_cpus=(None, None), chunk_word_count=(1000, 1000), server_ctx_size=(None, 4096))
    assert lines(caplog) == []
    tell_unused(hook, num_cpus=(8, None), batch_size=(0, None), chunk_word_count=(1000, 1000))
    [(level, words)] = lines(caplog)
    assert (level, words.partition(";")[0]) == ("WARNING", "no effect here: num_cpus, batch_size")


def test_checkpoints_of_upstream_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And what takes them over; a folder without any is nothing to speak of."""
    hook = hook_of(caplog)
    tell_checkpoints(hook, None)
    tell_checkpoints(hook, tmp_path / "none")
    tell_checkpoints(hook, tmp_path)
    assert lines(caplog) == []
    (tmp_path / "leaf").mkdir()
    (tmp_path / "leaf" / "data_checkpoint_abc.jsonl").write_text("{}\n")
    tell_checkpoints(hook, str(tmp_path))
    assert "--import-checkpoint" in caplog.text


# ---------------------------------------------------------------- loops and errors


async def twice(number: int) -> int:
    """Some work."""
    await anyio.lowlevel.checkpoint()
    return 2 * number


def nobody(_words: str) -> None:
    """Told, and keeps it."""


def test_work_is_done_in_a_loop_of_its_own() -> None:
    """In another thread; the thread has ended when it has."""
    before = threading.active_count()
    assert run_to_end(lambda: twice(21), nobody) == 42
    assert threading.active_count() == before


@pytest.mark.anyio
async def test_work_is_done_from_inside_a_running_loop() -> None:
    """Which stands still until then; its own handler of Ctrl-C is back afterwards."""
    before = signal.getsignal(signal.SIGINT)
    during: list[Any] = []

    async def look() -> int:
        during.append(signal.getsignal(signal.SIGINT))
        return await twice(4)

    assert run_to_end(look, nobody) == 8
    assert during == [signal.default_int_handler]
    assert signal.getsignal(signal.SIGINT) is before


def test_work_is_done_in_other_threads() -> None:
    """Where nothing can be done about signals."""
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(run_to_end(lambda: twice(3), nobody)))
    thread.start()
    thread.join()
    assert results == [6]


def test_an_error_of_the_work_is_raised() -> None:
    """As it is, not as a group."""

    async def fail() -> None:
        raise TeacherUnusable("no server")

    with pytest.raises(TeacherUnusable, match="no server"):
        run_to_end(fail, nobody)


def test_ctrl_c_waits_for_the_end_of_the_work(caplog: pytest.LogCaptureFixture) -> None:
    """The work is cancelled and winds up; then the interrupt goes on."""
    told: list[str] = []
    ended: list[bool] = []

    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)  # handled in the main thread, which waits
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
                ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        run_to_end(work, told.append)
    assert ended == [True]
    assert told[0].startswith("stopping: ")


def raising(error: BaseException) -> Callable[[], None]:
    """A function that raises."""

    def fail() -> None:
        raise error

    return fail


def test_errors_for_people_get_upstreams_name() -> None:
    """With their words, notes and exit code, and what they were as the cause."""
    error = TeacherUnusable("no server")
    error.add_note("3 rows are saved")
    with pytest.raises(sdg.GenerateException, match="no server") as told, as_generate_exception():
        raising(error)()
    assert told.value.__cause__ is error
    assert str(told.value) == "no server"
    assert told.value.exit_code == 4
    assert told.value.__notes__ == ["3 rows are saved"]


@pytest.mark.parametrize("error", [ValueError("a bug"), sdg.GenerateException("said"), KeyboardInterrupt()])
def test_other_errors_stay_what_they_are(error: BaseException) -> None:
    """Bugs above all."""
    with pytest.raises(type(error)) as told, as_generate_exception():
        raising(error)()
    assert told.value is error


# ---------------------------------------------------------------- folders


def test_files_come_by_name_and_tell_their_leaf_node(tmp_path: Path) -> None:
    """Only JSONL files that are not hidden; the first row tells."""
    (tmp_path / "b.jsonl").write_text('\n{"leaf_node_path": "x_b", "leaf_node_type": "knowledge"}\n{}\n')
    (tmp_path / "a.jsonl").write_text('{"q": 1}\n')
    (tmp_path / ".a.jsonl").write_text("{")
    (tmp_path / "chunker.json").write_text("{")
    found = leaf_files(tmp_path)
    assert [(one.file.name, one.leaf, one.kind) for one in found] == [
        ("a.jsonl", "unknown", "None"),
        ("b.jsonl", "x_b", "knowledge"),
    ]
    assert found[0].columns == ("q",)


def test_files_that_cannot_be_used_are_all_told(tmp_path: Path) -> None:
    """Q-GEN-5: each by its name."""
    (tmp_path / "a.jsonl").write_text("\n")
    (tmp_path / "b.jsonl").write_text("{\n")
    with pytest.raises(ConfigError) as told:
        leaf_files(tmp_path)
    assert f"no samples found in the input file {tmp_path / 'a.jsonl'}" in str(told.value)
    assert f"{tmp_path / 'b.jsonl'}:1: " in str(told.value)
    with pytest.raises(ConfigError, match="there is no folder"):
        leaf_files(tmp_path / "none")


@pytest.mark.parametrize("path", [None, ""])
def test_a_folder_that_is_missing_is_told_by_its_argument(path: str | None) -> None:
    """No TypeError out of the depths."""
    with pytest.raises(ConfigError, match="output_dir is missing"):
        folder_of(path, "output_dir")


def test_rules_that_are_not_there_stand_for_the_default(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As upstream does it, but said."""
    hook = hook_of(caplog)
    (tmp_path / "rules.yaml").write_text("extends: relaxed\n")
    assert existing_rules(None, hook) is None
    assert existing_rules(str(tmp_path / "rules.yaml"), hook) == tmp_path / "rules.yaml"
    assert existing_rules(tmp_path / "none.yaml", hook) is None
    assert "none.yaml" in caplog.text
