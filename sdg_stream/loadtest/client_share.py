"""What measuring costs the measurer: CPU time and the event loop's lag.

A Python client does its work on one core. When that core is busy the server waits for the client, and what
looks like the server's rate is the client's. On Linux the time for which the main thread was ready to run but
had no core is known too: a client on a crowded machine is as much a limit as a slow one. Format of
``/proc/self/schedstat``: the kernel's Documentation/scheduler/sched-stats (ns on a core, ns waiting for one).
"""

from __future__ import annotations

import time
from pathlib import Path

import anyio

from .results import ClientShare
from .window import percentiles

__all__ = ["BOUND", "ClientMeter"]

BOUND = 0.85  # of a core: beyond it queues in the client make up a good part of the latencies
_BEAT = 0.02  # seconds between two looks at the loop
_SCHEDSTAT = Path("/proc/self/schedstat")


class ClientMeter:
    """Measures from :meth:`begin` to :meth:`end`, while :meth:`watch` runs."""

    def __init__(self) -> None:
        self._lags: list[float] = []
        self._cpu = self._waited = self._begun = 0.0

    async def watch(self) -> None:
        """Look how late the loop is, until cancelled."""
        while True:
            due = time.monotonic() + _BEAT
            await anyio.sleep(_BEAT)
            self._lags.append(max(0.0, time.monotonic() - due))

    def begin(self) -> None:
        """The window begins."""
        self._lags.clear()
        self._begun, self._cpu, self._waited = time.monotonic(), time.process_time(), _core_waits()

    def end(self, requests: int) -> ClientShare:
        """The window has ended, in which so many requests ended."""
        seconds = max(time.monotonic() - self._begun, 1e-9)
        cpu = time.process_time() - self._cpu
        wanted = min(1.0, (cpu + _core_waits() - self._waited) / seconds)
        return ClientShare(
            cpu_per_1000=1000 * cpu / requests if requests else 0.0,
            cpu_share=cpu / seconds,
            wanted_share=wanted,
            loop_lag_p99=percentiles(self._lags).p99,
            bound=wanted >= BOUND,
        )


def _core_waits() -> float:
    """Seconds for which the main thread has waited for a core; 0 where the system does not say."""
    try:
        return int(_SCHEDSTAT.read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
