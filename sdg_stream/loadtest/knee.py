"""Where more requests in flight stop giving more: which levels to measure, when to stop, what to recommend.

The plateau is the median of the rates within 5 % of the best one, so that one lucky level does not set the
bar. The recommended concurrency is the smallest level that gives at least 95 % of it, or would with a rate
one standard error higher: fewer in flight leave the server idle, more only wait in its queue. Levels are
doubled until one gives less than 5 % more than the one before; then the gap below the first level that
suffices is halved (geometrically) until it is at most 10 % wide. For a server of S slots that gives an answer
between 0.95 S and 1.05 S, before noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from .results import Level

__all__ = [
    "ENOUGH",
    "GAIN",
    "GAP",
    "MOST_ERRORS",
    "NOISE",
    "between",
    "curve_of",
    "noise_of",
    "plateau",
    "recommended",
    "unit_of",
    "useless",
]

ENOUGH = 0.95  # of the plateau
GAIN = 0.05  # that a doubled level must bring
GAP = 1.1  # ratio of two neighbouring levels at the knee
MOST_ERRORS = 0.1  # share of failed requests, from which on more in flight cannot help
NOISE = 0.02  # relative standard error that a level's window is made long enough for
_MOST_NOISE = 0.05  # that excuses a level


def unit_of(levels: Iterable[Level]) -> str:
    """The rate that decides: tokens where the server tells them, requests where it does not."""
    known = any(level.output_tokens_per_s > 0 for level in levels)
    return "output_tokens_per_s" if known else "requests_per_s"


def curve_of(levels: Iterable[Level], unit: str) -> dict[int, float]:
    """The deciding rate by concurrency."""
    return {level.concurrency: float(getattr(level, unit)) for level in levels}


def noise_of(levels: Iterable[Level]) -> dict[int, float]:
    """Its relative standard error by concurrency."""
    return {level.concurrency: level.noise for level in levels}


def plateau(curve: Mapping[int, float]) -> float:
    """The rate that the server can give; 0 for an empty curve."""
    best = max(curve.values(), default=0.0)
    return median(rate for rate in curve.values() if rate >= best * (1 - GAIN)) if curve else 0.0


def recommended(curve: Mapping[int, float], noise: Mapping[int, float] | None = None) -> int | None:
    """The smallest concurrency that gives at least 95 % of the plateau.

    Args:
        curve: rate by concurrency.
        noise: its relative standard error, as far as that is known.

    Returns:
        None if nothing succeeded at any level.
    """
    bar = ENOUGH * plateau(curve)
    known = noise or {}
    reach = {level: rate * (1 + min(known.get(level, 0.0), _MOST_NOISE)) for level, rate in curve.items()}
    return min((level for level, rate in reach.items() if rate >= bar > 0), default=None)


def useless(levels: Sequence[Level]) -> str:
    """Why a level higher than the last of these cannot help, in words; empty if it may."""
    last = levels[-1]
    if last.error_share > MOST_ERRORS:
        return f"{last.error_share:.0%} of the requests failed with {last.concurrency} in flight"
    if last.client.bound:
        return f"with {last.concurrency} in flight the client, not the server, was the limit"
    unit = unit_of(levels)
    now = getattr(last, unit)
    if not now:
        return f"nothing was answered with {last.concurrency} in flight"
    if len(levels) < 2:
        return ""
    before = getattr(levels[-2], unit)
    if now >= before * (1 + GAIN):
        return ""
    gain = now / before - 1 if before else 0.0
    return f"{last.concurrency} in flight gave {gain:+.1%} over {levels[-2].concurrency}"


def between(
    curve: Mapping[int, float], noise: Mapping[int, float] | None = None, *, step: int = 1
) -> int | None:
    """The level to measure next, to know the knee more closely; None if it is known well enough.

    Args:
        curve: rate by concurrency.
        noise: its relative standard error.
        step: levels are multiples of this: the choices of a request.
    """
    high = recommended(curve, noise)
    low = max((level for level in curve if high is not None and level < high), default=None)
    if high is None or low is None or high <= low * GAP:
        return None
    middle = step * round(math.sqrt(low * high) / step)
    middle = min(max(middle, low + step), high - step)
    return middle if low < middle < high else None
