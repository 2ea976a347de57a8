"""What is measured of one concurrency: rates, latencies, what the server said, what the client took.

Part of the JSON that :mod:`.results` describes. Times are seconds, rates are per second.
"""

from __future__ import annotations

import msgspec

__all__ = ["ClientShare", "Level", "Percentiles", "Rates", "ServerView", "Spread"]


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution: linear interpolation between the order statistics (type 7 of Hyndman and Fan, 1996)."""

    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered in a second; see :mod:`.window` for how it is counted.

    Attributes:
        requests_per_s: requests that succeeded.
        output_tokens_per_s: tokens of replies, as the server's ``usage`` tells them.
        total_tokens_per_s: with those of prompts.
    """

    requests_per_s: float = 0.0
    output_tokens_per_s: float = 0.0
    total_tokens_per_s: float = 0.0


class ServerView(msgspec.Struct, frozen=True, kw_only=True):
    """What the servers' ``/metrics`` said during a window, all servers together; shares are 0 to 1.

    Attributes:
        running: sequences in slots, on average; ``running_max`` at most.
        waiting: sequences in the queue, on average; ``waiting_max`` at most.
        kv_usage: share of the fullest server's KV cache that was taken, on average; ``kv_usage_max`` at most.
        preemptions: sequences that lost their place.
        prefix_hits: share of the prompt tokens that the prefix cache had; None if it was not asked.
        output_tokens_per_s: by the servers' own count; None if they do not count.
    """

    running: float = 0.0
    running_max: float = 0.0
    waiting: float = 0.0
    waiting_max: float = 0.0
    kv_usage: float = 0.0
    kv_usage_max: float = 0.0
    preemptions: float = 0.0
    prefix_hits: float | None = None
    output_tokens_per_s: float | None = None


class ClientShare(msgspec.Struct, frozen=True, kw_only=True):
    """What the measuring itself cost, to tell a slow server from a slow client.

    Attributes:
        cpu_per_1000: CPU seconds of this process for 1,000 requests.
        cpu_share: CPU seconds a second; its work runs on one core.
        wanted_share: that, and the time for which it was ready to run but had no core (Linux); else the same.
        loop_lag_p99: how late the event loop was.
        bound: the client was the limit, not the server: the rates are a lower bound.
    """

    cpu_per_1000: float = 0.0
    cpu_share: float = 0.0
    wanted_share: float = 0.0
    loop_lag_p99: float = 0.0
    bound: bool = False


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Lowest and highest value over the replicas of a level."""

    low: float
    high: float


class Level(Rates, frozen=True, kw_only=True):
    """One concurrency, measured once or several times (``--repeat``).

    Of several measurements counts are sums, and all other numbers medians.

    Attributes:
        concurrency: sequences in flight; a request for n choices counts as n.
        requests_in_flight: requests that were kept in flight.
        seconds: length of the window.
        completed: requests that succeeded in it.
        errors: requests that failed in it, by kind.
        latency: seconds from sending to the whole reply, of those that succeeded in the window.
        first_token: seconds to the first text, where replies are streamed.
        inter_token: mean seconds between two tokens of a reply, where replies are streamed: from the first
            text to the last, by the tokens of the reply but one.
        noise: relative standard error of the deciding rate, as far as the replies' own scatter makes it.
        tokens_estimated: the server told no ``usage`` for some replies: pieces of a stream are counted then.
        steady: warm-up and window went as they should; if not, a note says why.
        client: what the measuring cost.
        server: what the servers said themselves; None if they have no ``/metrics``.
        spread: of the two rates, over the replicas; empty without any.
        replicas: the rates of each replica; empty without any.
        notes: what is odd about the level, in words.
    """

    concurrency: int
    requests_in_flight: int
    seconds: float
    completed: int
    errors: dict[str, int] = {}
    latency: Percentiles = Percentiles()
    first_token: Percentiles | None = None
    inter_token: Percentiles | None = None
    prompt_tokens_mean: float = 0.0
    output_tokens_mean: float = 0.0
    noise: float = 0.0
    tokens_estimated: bool = False
    steady: bool = True
    client: ClientShare = ClientShare()
    server: ServerView | None = None
    spread: dict[str, Spread] = {}
    replicas: tuple[Rates, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """Requests that failed in the window."""
        return sum(self.errors.values())

    @property
    def error_share(self) -> float:
        """Share of the requests that failed."""
        done = self.completed + self.failed
        return self.failed / done if done else 0.0
