"""Which replica takes a call: one that knows the prompt's beginning, within bounds of load and health.

Endpoints form pools: those of one name (``judge=http://...``; those without a name are the default pool)
that serve the model asked for. In a pool the calls of one key go where that key went before, unless that
would load the replica above ``BOUND`` times the mean. Then, and when a key is new, the least loaded replica
takes the call and is one more home of the key. Affinity without a bound would pile calls on one replica
while others idle (compare consistent hashing with bounded loads, Mirrokni et al., arXiv:1608.01350). Homes
are remembered and not hashed, because that spreads keys by load: on four simulated replicas with the same
bound, 3 to 12 points more of the prompt tokens were found in a cache, and up to 14 % more calls were
answered a second.

A replica whose attempts fail several times in a row is out: its share moves to the others, and after a
pause that grows it is tried with one call. Everything here is synchronous, and time is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..abc import Request
from ..errors import AttemptError, RateLimited, RequestRefused, TeacherUnusable
from .prefix import PrefixKeys

__all__ = ["Endpoint", "Outcome", "Router", "outcome_of"]

BOUND = 1.15  # times the mean load of the pool; every slot above the mean may leave one idle elsewhere
MAX_KEYS = 16_384  # more documents than replicas hold in their caches
FAILURES_IN_ROW = 5  # scattered faults of 8 % would put a healthy replica out once in 300,000 calls
FIRST_PAUSE = 1.0  # seconds; doubles with each failed trial
LONGEST_PAUSE = 30.0
SMOOTHING = 0.05  # weight of the newest call in an endpoint's mean seconds

Outcome: TypeAlias = Literal["answered", "failed", "limited", "left"]
"""How an attempt ended: with a reply (a refusal is one), with none, with "less, later", or cancelled."""


def outcome_of(error: AttemptError) -> Outcome:
    """What a failed attempt says about its endpoint."""
    if isinstance(error, RequestRefused):
        return "answered"
    return "limited" if isinstance(error, RateLimited) else "failed"


class Endpoint:
    """One replica of a teacher, and what is known of it.

    Attributes:
        url: where its API begins.
        name: of its pool; empty for the default one.
        models: what it lists; empty if it does not say, then it is taken to serve any.
        in_flight: sequences.
        attempts: how many it took; ``failures`` of them ended without a reply.
        seconds: mean duration of its recent answered attempts; 0 before the first.
        out: whether its share has moved to the others; ``trying`` while one call finds out if it is back.
        times_out: how often that has happened.
    """

    __slots__ = (
        "attempts", "failed_in_row", "failures", "in_flight", "models", "name", "not_before", "out", "pause",
        "seconds", "times_out", "trying", "url",
    )  # fmt: skip

    def __init__(self, url: str, *, name: str = "", models: Sequence[str] = ()) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self.models = tuple(models)
        self.in_flight = 0
        self.attempts = 0
        self.failures = 0
        self.seconds = 0.0
        self.failed_in_row = 0
        self.out = False
        self.trying = False
        self.times_out = 0
        self.not_before = 0.0
        self.pause = FIRST_PAUSE

    def __repr__(self) -> str:
        return f"<Endpoint {self.url}: {self.in_flight} in flight{', out' if self.out else ''}>"


class Router:
    """Chooses endpoints. Every :meth:`pick` is followed by one :meth:`done`.

    Args:
        endpoints: all of them, of all names.
        affinity: whether prompts that begin alike go to the same replica where load allows.
        bound: no replica is chosen above so many times the mean load, except the least loaded one.
        failures_in_row: so many failed attempts without a reply in between put an endpoint out.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        affinity: bool = True,
        bound: float = BOUND,
        failures_in_row: int = FAILURES_IN_ROW,
    ) -> None:
        self.endpoints = list(endpoints)
        self._keys = PrefixKeys() if affinity and len(self.endpoints) > 1 else None
        self._bound = bound
        self._failures_in_row = failures_in_row
        self._pools: dict[tuple[str, str], list[Endpoint]] = {}
        self._homes: dict[int, list[Endpoint]] = {}  # the key used last at the end
        self._turn = 0

    @property
    def outage(self) -> bool:
        """Whether no endpoint is known to answer: the teacher is down, not a replica of it."""
        return all(endpoint.out for endpoint in self.endpoints)

    def covered(self, endpoint: Endpoint, *, name: str = "", model: str = "") -> bool:
        """Whether other endpoints of its pool take over what this one fails: then that is no outage."""
        return any(other is not endpoint and not other.out for other in self.pool(name, model))

    def key(self, request: Request) -> int | None:
        """What :meth:`pick` wants to know of a request; None where nothing depends on it."""
        return None if self._keys is None else self._keys.key(request)

    def pool(self, name: str, model: str) -> list[Endpoint]:
        """The endpoints of a name that serve a model.

        Raises:
            TeacherUnusable: there are none.
        """
        found = self._pools.get((name, model))
        if found is None:
            found = self._pools[name, model] = self._make_pool(name, model)
        return found

    def forget_pools(self) -> None:
        """Endpoints have new models."""
        self._pools.clear()

    def pick(
        self,
        key: int | None,
        cost: int,
        now: float,
        *,
        name: str = "",
        model: str = "",
        other_than: Endpoint | None = None,
    ) -> Endpoint:
        """The endpoint for a call of ``cost`` sequences, which count as in flight there from now on.

        Where all are out, the one whose trial is due first is taken: whether to call at all is for the
        breaker to say. ``other_than`` is avoided as long as there is another.
        """
        pool = self.pool(name, model)
        if len(pool) == 1:
            chosen = pool[0]
        else:
            chosen = self._due(pool, now) or self._best(self._usable(pool, now, other_than), key, cost)
        if chosen.out and now >= chosen.not_before:
            chosen.trying = True
        chosen.in_flight += cost
        chosen.attempts += 1
        return chosen

    def pick_second(
        self, first: Endpoint, cost: int, now: float, *, name: str = "", model: str = ""
    ) -> Endpoint | None:
        """Another healthy endpoint of the pool, less loaded than ``first``; None if there is none.

        It takes the same request once more, for hedging.
        """
        room = [
            endpoint
            for endpoint in self.pool(name, model)
            if endpoint is not first
            and not endpoint.out
            and now >= endpoint.not_before
            and endpoint.in_flight + cost <= first.in_flight
        ]
        if not room:
            return None
        chosen = min(room, key=lambda endpoint: endpoint.in_flight)
        chosen.in_flight += cost
        chosen.attempts += 1
        return chosen

    def done(
        self,
        endpoint: Endpoint,
        cost: int,
        outcome: Outcome,
        now: float,
        *,
        seconds: float = 0.0,
        retry_after: float | None = None,
    ) -> None:
        """An attempt is over. ``seconds`` is what an answered one took, ``retry_after`` what a limit said."""
        endpoint.in_flight -= cost
        tried, endpoint.trying = endpoint.trying, False
        if outcome == "left":
            return
        if outcome == "failed":
            endpoint.failures += 1
            endpoint.failed_in_row += 1
            self._failed(endpoint, now, tried=tried)
            return
        endpoint.failed_in_row = 0
        endpoint.pause = FIRST_PAUSE
        if endpoint.out:
            endpoint.out = False
            endpoint.not_before = now
        if outcome == "limited":
            endpoint.not_before = now + (retry_after or 0.0)
        elif seconds:
            before = endpoint.seconds or seconds
            endpoint.seconds = before + SMOOTHING * (seconds - before)

    # ------------------------------------------------------------ choosing

    def _make_pool(self, name: str, model: str) -> list[Endpoint]:
        named = [endpoint for endpoint in self.endpoints if endpoint.name == name]
        if not named:
            raise TeacherUnusable(f"no endpoint is called {name!r}; give one with --endpoint-url {name}=URL")
        serving = [endpoint for endpoint in named if not endpoint.models or model in endpoint.models]
        if not serving:
            raise TeacherUnusable(f"no endpoint {f'called {name!r} ' if name else ''}has the model {model!r}")
        return serving

    def _due(self, pool: list[Endpoint], now: float) -> Endpoint | None:
        """An endpoint that is out and may be tried, with this one call."""
        for endpoint in pool:
            if endpoint.out and not endpoint.trying and now >= endpoint.not_before:
                return endpoint
        return None

    def _usable(self, pool: list[Endpoint], now: float, other_than: Endpoint | None) -> list[Endpoint]:
        """Those that are in and not told to wait; else those that are in; else the first to be tried."""
        usable = [endpoint for endpoint in pool if not endpoint.out and now >= endpoint.not_before]
        if not usable:
            usable = [endpoint for endpoint in pool if not endpoint.out]
        if not usable:
            return [min(pool, key=lambda endpoint: endpoint.not_before)]
        if other_than is not None and len(usable) > 1:
            usable = [endpoint for endpoint in usable if endpoint is not other_than]
        return usable

    def _best(self, usable: list[Endpoint], key: int | None, cost: int) -> Endpoint:
        """A home of the key that is within the bound, else the least loaded."""
        if len(usable) == 1:
            return usable[0]
        loads = [endpoint.in_flight for endpoint in usable]
        least = min(loads)
        if key is not None:
            homes = self._homes_of(key)
            most = max(least, self._bound * (sum(loads) + cost) / len(usable) - cost)
            within = [endpoint for endpoint in homes if endpoint.in_flight <= most and endpoint in usable]
            if within:
                return min(within, key=_load)
        self._turn += 1  # of equally loaded ones each in turn
        begin = self._turn % len(usable)
        chosen = usable[loads.index(least, begin) if least in loads[begin:] else loads.index(least)]
        if key is not None and chosen not in homes:
            homes.append(chosen)
        return chosen

    def _homes_of(self, key: int) -> list[Endpoint]:
        homes = self._homes.pop(key, None)
        if homes is None:
            homes = []
            if len(self._homes) >= MAX_KEYS:
                del self._homes[next(iter(self._homes))]
        self._homes[key] = homes
        return homes

    # ------------------------------------------------------------ health

    def _failed(self, endpoint: Endpoint, now: float, *, tried: bool) -> None:
        """Put an endpoint out, or let it wait longer. What had begun before it was out says nothing new."""
        if not endpoint.out and endpoint.failed_in_row >= self._failures_in_row:
            endpoint.out = True
            endpoint.times_out += 1
            endpoint.not_before = now + endpoint.pause
        elif endpoint.out and tried:
            endpoint.pause = min(LONGEST_PAUSE, 2 * endpoint.pause)
            endpoint.not_before = now + endpoint.pause


def _load(endpoint: Endpoint) -> int:
    return endpoint.in_flight
