"""What this process has used."""

from __future__ import annotations

import resource

__all__ = ["cpu_seconds", "peak_mb"]


def cpu_seconds() -> float:
    """CPU seconds so far, user and system, of all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """The most memory that was resident, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
