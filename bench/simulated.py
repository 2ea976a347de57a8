"""Servers in processes of their own, for benchmarks: the simulated teacher, and one that answers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from canned import REPLY

__all__ = ["apart", "canned_teacher", "page", "served", "simulated_teacher", "stats"]

CANNED = Path(__file__).with_name("canned.py")

ALL_CPUS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()


@contextmanager
def apart(*, first: bool = False) -> Iterator[None]:
    """On the first CPU, or on the others, with what is started inside; of one CPU nothing is made.

    Client and server that share a core slow each other down, which would count as CPU time of the side that
    has more threads.
    """
    if not hasattr(os, "sched_setaffinity") or len(before := os.sched_getaffinity(0) | ALL_CPUS) < 2:
        yield
        return
    os.sched_setaffinity(0, {min(before)} if first else before - {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def simulated_teacher(*options: str) -> AbstractContextManager[str]:
    """The base URL of ``sdg-stream simulate`` with these options, on a free port; stopped at the end."""
    return served([sys.executable, "-m", "sdg_stream", "simulate", "--port", "0", *options])


def canned_teacher(reply: str = REPLY) -> AbstractContextManager[str]:
    """The base URL of a server that gives this reply at once to everything; stopped at the end."""
    return served([sys.executable, "-P", str(CANNED), reply])


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


def page(url: str, name: str, method: str = "GET") -> str:
    """A page of the simulated teacher at this base URL; ``reset`` is posted."""
    asked = Request(f"{url.removesuffix('/v1')}/{name}", method=method)
    with urlopen(asked, timeout=30) as reply:
        text: bytes = reply.read()
    return text.decode()


def stats(url: str) -> dict[str, Any]:
    """What it has counted."""
    found: dict[str, Any] = json.loads(page(url, "stats"))
    return found
