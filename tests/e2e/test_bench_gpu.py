"""``bench/gpu.py`` against a simulated teacher: all it does but starting a server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from command_line import COMMAND, REPOSITORY, Lines, environment

pytestmark = pytest.mark.anyio

SCRIPT = str(REPOSITORY / "bench" / "gpu.py")
SIZE = ("--prompt-tokens", "64", "--output-tokens", "8", "--levels", "2,8")
TIMES = ("--duration", "0.3", "--warmup", "0.1", "--rows", "60")
EARLIER = "# Results\n\nOthers.\n\n<!-- gpu: begin -->\n\n### An earlier one\n\n<!-- gpu: end -->\n\nMore.\n"


async def gpu(folder: Path, *options: str, **more: str) -> tuple[int, str, str]:
    """Run the script; gives exit code, output and messages."""
    command = [sys.executable, SCRIPT, *options]
    with anyio.fail_after(50):
        done = await anyio.run_process(command, cwd=folder, env=environment(**more), check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_a_server_is_measured_and_an_entry_written(tmp_path: Path) -> None:
    """Sweep and pipeline; the entry comes before earlier ones, the rest of the file stays."""
    results = tmp_path / "RESULTS.md"
    results.write_text(EARLIER)
    serve = [*COMMAND, "simulate", "--port", "0", "--slots", "8", "--latency", "fixed"]
    async with await anyio.open_process(
        [*serve, "--latency-seconds", "0.05"], cwd=tmp_path, env=environment()
    ) as process:
        try:
            with anyio.fail_after(20):
                url = (await Lines(process).next()).split(" at ")[1].split(" ")[0]
            write = ("--write", "--results", str(results))
            code, out, err = await gpu(tmp_path, "--endpoint-url", url, *SIZE, *TIMES, *write)
            assert code == 0, err
        finally:
            process.terminate()
    report: dict[str, Any] = json.loads(out)["report"]
    assert [level["concurrency"] for level in report["levels"]] == [2, 8]
    run = report["pipeline"]
    assert run["accepted"] == run["roots"] > 0
    assert run["calls"] == 4 * run["roots"]
    text = results.read_text()
    assert text.startswith("# Results\n\nOthers.\n\n<!-- gpu: begin -->\n\n## On a GPU\n")
    assert text.endswith("### An earlier one\n\n<!-- gpu: end -->\n\nMore.\n")
    assert text.count("### ") == 2
    assert "simulated teacher" in text
    assert url not in text
    assert str(tmp_path) not in text


async def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """No GPU; and where that does not matter, no server."""
    code, _, err = await gpu(tmp_path, PATH="")
    assert code == 1
    assert "no GPU" in err
    assert "--endpoint-url" in err
    code, _, err = await gpu(tmp_path, "--any-device", "--python", str(tmp_path / "none"))
    assert code == 1
    assert "neither vllm nor transformers" in err
