"""Signals: the first cancels cleanly, the second leaves at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import anyio
import pytest

from sdg_stream.cli.signals import Stopped, run_until_signal


def test_the_result_comes_back() -> None:
    """Without a signal there is nothing to see."""

    async def work() -> int:
        return 42

    assert run_until_signal(work, print) == 42


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_lets_the_work_clean_up(number: signal.Signals, code: int) -> None:
    """The work is cancelled and finishes what it does on the way out; the exit code names the signal."""
    told: list[str] = []
    cleaned: list[bool] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                cleaned.append(True)

    with pytest.raises(Stopped, match=number.name) as stopped:
        run_until_signal(work, told.append)
    assert stopped.value.exit_code == code
    assert cleaned == [True]
    assert told == [f"{number.name}: stopping; a second one leaves at once"]


def test_an_error_surfaces_as_itself() -> None:
    """No exception group reaches the person, and notes stay."""

    async def work() -> None:
        error = ValueError("bad")
        error.add_note("at block judge")
        raise error

    with pytest.raises(ValueError, match="bad") as caught:
        run_until_signal(work, print)
    assert caught.value.__notes__ == ["at block judge"]


def test_the_second_signal_leaves_at_once() -> None:
    """Work that does not end is left behind by a second signal."""
    code = """
import os, signal, anyio
from sdg_stream.cli.signals import run_until_signal

async def work():
    with anyio.CancelScope(shield=True):
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()

def told(words):
    os.kill(os.getpid(), signal.SIGINT)

run_until_signal(work, told)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert (result.returncode, result.stderr) == (130, "")
