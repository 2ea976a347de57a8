"""Servers in processes of their own, for benchmarks: mostly the simulated teacher."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager


def simulated_teacher(*options: str) -> AbstractContextManager[str]:
    """The base URL of ``sdg-stream simulate`` with these options, on a free port; stopped at the end."""
    return served([sys.executable, "-m", "sdg_stream", "simulate", "--port", "0", *options])


@contextmanager
def served(command: Sequence[str]) -> Iterator[str]:
    """The first URL that a command prints; the command is stopped at the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            words = (word for line in process.stdout for word in line.split())
            yield next(word.rstrip(".,") for word in words if word.startswith("http://"))
        finally:
            process.terminate()
