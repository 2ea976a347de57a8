"""Secrets of a command, kept out of logs, tracebacks and the command that is shown again."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from sdg_stream.cli import hidden
from sdg_stream.cli.app import app
from sdg_stream.cli.errors import report_bug
from sdg_stream.cli.hidden import hide, without_hidden
from sdg_stream.cli.logs import configure_logging
from sdg_stream.observe.progress import Silent

KEY = "sk-key/0123456789"


@pytest.fixture(autouse=True)
def nothing_hidden() -> Iterator[None]:
    """Begin and end with nothing to hide."""
    hidden._hidden.clear()
    yield
    hidden._hidden.clear()


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": KEY},
        {"api_key": f"{KEY}\n"},
        {"api_key_env": "SOME_KEY"},
        {"proxy": f"http://me:{KEY.replace('/', '%2F')}@proxy:3128"},
        {"endpoint_url": (f"http://me:{KEY}@host/v1",)},
        {"endpoint_url": (f"http:/{KEY}@host/v1", "http://fine/v1")},
        {"endpoint_url": (f"http://host/v1?api-version=1&key={KEY}",)},
        {"serve": f"vllm serve m --api-key {KEY} --port 1"},
        {"serve": f"vllm serve m --api-key={KEY}"},
        {"serve": f"env VLLM_API_KEY={KEY} vllm serve m"},
        {"serve": f"vllm serve 'm --hf-token {KEY}"},
    ],
    ids=str,
)
def test_what_options_bring_is_hidden(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    """A key, its variable, passwords in URLs, keys in a server's command."""
    monkeypatch.setenv("SOME_KEY", KEY)
    assert without_hidden(f"Bearer {KEY}!") == f"Bearer {KEY}!"
    hide(options)
    assert KEY not in without_hidden(f"Bearer {KEY}! --port 1")
    assert without_hidden("--port 1") == "--port 1"


def test_no_url_shows_its_user() -> None:
    """Also of a URL that nobody told about, and however short; other text with an @ stays."""
    assert without_hidden("see http://u:p@h/x and a@b, //c/@d") == "see http://[redacted]@h/x and a@b, //c/@d"


def test_the_log_and_tracebacks_do_not_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a library or a block says, also with an escape sequence inside the key."""
    hide({"api_key": KEY})
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    stream = io.StringIO()
    try:
        configure_logging(Silent(stream), "debug", as_json=False)
        logging.getLogger("x").debug("headers %s", {"Authorization": f"Bearer {KEY}"})
        logging.getLogger("x").error("oh", exc_info=ValueError(KEY))
    finally:
        root.handlers[:] = before
        root.setLevel(logging.WARNING)
    assert "headers {'Authorization': 'Bearer [redacted]'}" in stream.getvalue()
    error = ValueError(f"{KEY[:5]}\x1b[0m{KEY[5:]}")
    report_bug(ValueError, error, None)
    shown = capsys.readouterr().err
    assert "ValueError: [redacted]" in shown
    assert KEY not in shown + stream.getvalue()


def test_the_command_that_is_shown_again_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the key nor passwords in URLs, however short those are."""
    again: list[str] = []

    def perform(job: Any, api_key: str | None) -> int:
        again.append(job.again)
        return 0

    monkeypatch.setattr("sdg_stream.cli.job.perform", perform)
    arguments = [
        "run",
        "p.yaml",
        "-i",
        "in",
        "-o",
        "out",
        "--api-key",
        KEY,
        f"--api-key={KEY}",
        "--proxy",
        "http://u:p@h",
    ]
    arguments += ["--serve", f"vllm serve m --api-key {KEY}", "--endpoint-url", f"http://h/v1?k={KEY}"]
    monkeypatch.setattr("sys.argv", ["sdg-stream", *arguments])
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert KEY not in again[0]
    assert "u:p" not in again[0]
    assert "--proxy 'http://[redacted]@h' --serve 'vllm serve m --api-key [redacted]'" in again[0]
