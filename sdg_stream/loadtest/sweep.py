"""The sweep: level after level, until a higher one cannot help; then the gap at the knee is closed.

How much replies scatter is learnt from the levels before: where it is much, windows last until the rate is
known to 2 %, or four times as long as was asked for.

With ``repeat`` all levels are measured again, in the same order, so that a slow change of the server or the
machine shows as spread and not as a knee. Whatever ends the sweep, what has been measured stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import msgspec

from ..teacher.sockets import ensure_sockets
from .knee import NOISE, between, curve_of, noise_of, unit_of, useless
from .load import Load, LoadedWindow, Phases, Wire
from .questions import Questions
from .results import Level, Rates, Spread
from .server_view import ServerMeter
from .window import Sample, measured, scatter

__all__ = ["Plan", "Sweep", "combined", "level_of"]

_MOST_REFINEMENTS = 8
_LATE = 0.05  # seconds of loop lag, from which on times to the first token are worth a word


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Which levels are measured, and how.

    Attributes:
        levels: exactly these concurrencies; empty for doubled ones and a closer look at the knee.
        most: the highest concurrency to try when they are doubled.
        repeat: how often everything is measured.
        phases: lengths of warm-up and window.
    """

    levels: tuple[int, ...] = ()
    most: int = 1024
    repeat: int = 1
    phases: Phases = Phases()


class Sweep:
    """Measures levels and keeps what it has measured.

    Args:
        wire: how the server is reached.
        questions: what is asked.
        pages: URLs of the servers' ``/metrics``.
        plan: which levels.
        begins: told a concurrency and the number of the replica, before they are measured.
        ends: told what was measured.
        samples: told a concurrency and all its requests.

    Attributes:
        stopped: why no higher level was measured, in words.
        finished: everything that was wanted has been measured.
        sent: requests that have ended.
    """

    def __init__(
        self,
        wire: Wire,
        questions: Questions,
        pages: Sequence[str],
        plan: Plan,
        *,
        begins: Callable[[int, int], None],
        ends: Callable[[Level], None],
        samples: Callable[[int, Sequence[Sample]], None],
    ) -> None:
        self.stopped = ""
        self.finished = False
        self.sent = 0
        self._wire, self._questions, self._plan = wire, questions, plan
        self._pages = pages
        self._begins, self._ends, self._samples = begins, ends, samples
        self._runs: dict[int, list[Level]] = {}
        self._scatter = 0.0

    @property
    def levels(self) -> tuple[Level, ...]:
        """What has been measured so far, by concurrency."""
        return tuple(combined(self._runs[concurrency]) for concurrency in sorted(self._runs))

    async def run(self) -> None:
        """Measure everything.

        Raises:
            TeacherUnusable: no request succeeds; earlier levels stay.
            ConfigError: this process may not open enough connections.
        """
        if self._plan.levels:
            for workers in dict.fromkeys(self._workers_for(level) for level in self._plan.levels):
                await self._measure(workers)
        else:
            await self._double()
            await self._refine()
        for _ in range(self._plan.repeat - 1):
            for concurrency in sorted(self._runs):
                await self._measure(self._workers_for(concurrency))
        self.finished = True

    async def _double(self) -> None:
        workers, found = 1, list[Level]()
        most = self._workers_for(self._plan.most)
        while True:
            found.append(await self._measure(workers))
            self.stopped = useless(found)
            if self.stopped:
                return
            if workers >= most:
                self.stopped = f"{found[-1].concurrency} is the most that was to be tried (--max-concurrency)"
                return
            workers = min(2 * workers, most)

    async def _refine(self) -> None:
        """Close the gap below the knee."""
        step = self._questions.choices
        for _ in range(_MOST_REFINEMENTS):
            levels = self.levels
            curve = curve_of(levels, unit_of(levels))
            following = between(curve, noise_of(levels), step=step)
            if following is None:
                return
            await self._measure(self._workers_for(following))

    def _workers_for(self, concurrency: int) -> int:
        return max(1, round(concurrency / self._questions.choices))

    async def _measure(self, workers: int) -> Level:
        concurrency = workers * self._questions.choices
        ensure_sockets(workers)
        runs = self._runs.get(concurrency, [])
        self._begins(concurrency, len(runs) + 1)
        meter = ServerMeter(self._wire.backend, self._pages)
        needed = math.ceil((self._scatter / NOISE) ** 2)
        phases = msgspec.structs.replace(self._plan.phases, requests=needed)
        loaded = await Load(self._wire, self._questions, workers, meter).run(phases)
        level = level_of(loaded, workers, concurrency)
        strays = scatter(loaded.samples, loaded.begin, loaded.end, unit_of([level]))
        self._scatter = max(self._scatter, strays)
        if level.completed:
            level = msgspec.structs.replace(level, noise=self._scatter / math.sqrt(level.completed))
        self.sent += len(loaded.samples)
        self._runs.setdefault(concurrency, []).append(level)
        self._samples(concurrency, loaded.samples)
        self._ends(level)
        return level


def level_of(loaded: LoadedWindow, workers: int, concurrency: int) -> Level:
    """The numbers of one window under load."""
    window = measured(loaded.samples, loaded.begin, loaded.end)
    notes = list(loaded.notes)
    if loaded.client.loop_lag_p99 >= _LATE:
        late = 1000 * loaded.client.loop_lag_p99
        notes.append(f"the client's event loop was up to {late:.0f} ms late: short times are too long")
    return Level(
        concurrency=concurrency,
        requests_in_flight=workers,
        seconds=window.seconds,
        completed=window.completed,
        errors=window.errors,
        requests_per_s=window.rates.requests_per_s,
        output_tokens_per_s=window.rates.output_tokens_per_s,
        total_tokens_per_s=window.rates.total_tokens_per_s,
        latency=window.latency,
        first_token=window.first_token,
        inter_token=window.inter_token,
        prompt_tokens_mean=window.prompt_tokens_mean,
        output_tokens_mean=window.output_tokens_mean,
        tokens_estimated=window.tokens_estimated,
        steady=not loaded.notes,
        client=loaded.client,
        server=loaded.server,
        notes=tuple(notes),
    )


def combined(runs: Sequence[Level]) -> Level:
    """Several measurements of one concurrency as one: medians, sums of counts, the spread."""
    if len(runs) == 1:
        return runs[0]
    first = runs[0]
    names = ("requests_per_s", "output_tokens_per_s", "total_tokens_per_s")
    kinds = sorted({kind for run in runs for kind in run.errors})
    return msgspec.structs.replace(
        first,
        **{name: _median(getattr(run, name) for run in runs) for name in (*names, *_MEANS)},
        **{name: _medians([getattr(run, name) for run in runs]) for name in _STRUCTS},
        completed=sum(run.completed for run in runs),
        errors={kind: sum(run.errors.get(kind, 0) for run in runs) for kind in kinds},
        noise=_median(run.noise for run in runs) / math.sqrt(len(runs)),
        tokens_estimated=any(run.tokens_estimated for run in runs),
        steady=all(run.steady for run in runs),
        spread={
            name: Spread(low=min(values), high=max(values))
            for name in names[:2]
            if (values := [getattr(run, name) for run in runs])
        },
        replicas=tuple(Rates(**{name: getattr(run, name) for name in names}) for run in runs),
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
    )


_MEANS = ("seconds", "prompt_tokens_mean", "output_tokens_mean")
_STRUCTS = ("latency", "first_token", "inter_token", "client", "server")


def _median(values: Any) -> float:
    return float(median(values))


def _medians(structs: Sequence[Any]) -> Any:
    """A struct whose fields are the medians of those of several; None if there is none in any."""
    known = [struct for struct in structs if struct is not None]
    if not known:
        return None
    fields: dict[str, Any] = {}
    for name in known[0].__struct_fields__:
        values = [value for struct in known if (value := getattr(struct, name)) is not None]
        if values and isinstance(values[0], bool):
            fields[name] = sum(values) * 2 > len(values)
        else:
            fields[name] = _median(values) if values else None
    return type(known[0])(**fields)
