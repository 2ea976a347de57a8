"""The start-up benchmark is a program that works."""

from __future__ import annotations

import json
import subprocess
import sys

from command_line import REPOSITORY, environment


def test_startup_bench_prints_one_line_of_json() -> None:
    """Each case has its median, spread and budget; what they are depends on the machine."""
    command = [sys.executable, "bench/startup.py", "3"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False
    )
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert set(result["cases"]) == {"python", "import", "help", "first_row"}
    assert done.returncode == (0 if result["ok"] else 1)
    assert result["cases"]["help"]["budget"] == 0.2
