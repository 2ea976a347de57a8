"""The end that the names of a set of files have when nobody gives one: the local time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

__all__ = ["dated_suffix"]


def dated_suffix(taken: Callable[[str], bool] = lambda _: False) -> str:
    """The time, such as ``2024-07-25T15_52_10``, or the first second behind it that is not taken."""
    time = datetime.now()
    while taken(suffix := time.strftime("%Y-%m-%dT%H_%M_%S")):
        time += timedelta(seconds=1)
    return suffix
