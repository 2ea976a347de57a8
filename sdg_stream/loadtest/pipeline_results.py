"""What ``bench --pipeline`` finds about a whole pipeline: ``pipeline`` in the JSON of ``bench --json``.

Times are seconds, rates are per second, shares are 0 to 1. How each number is made: :mod:`.pipeline_numbers`.
"""

from __future__ import annotations

import msgspec

from ..events import BlockReport
from .levels import ClientShare, Level, ServerView

__all__ = [
    "BlockTokens",
    "Ceiling",
    "DrainTail",
    "Durability",
    "Estimate",
    "Idle",
    "PipelineNumbers",
    "Projection",
]


class BlockTokens(msgspec.Struct, frozen=True, kw_only=True):
    """What one block asked for.

    Attributes:
        calls: those that were sent; an identical one that was answered without is not among them.
        wasted_tokens: of prompts and replies of calls that no accepted row descends from.
    """

    name: str
    calls: int
    prompt_tokens: int
    output_tokens: int
    wasted_tokens: int


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """Slots of the teacher that were not in use, as shares of all slot time of the run.

    Attributes:
        fraction: the sum of the others.
        start: before the first call was sent.
        no_ready_records: no record was ready to be asked about, though others were under way.
        barrier: the same, while a block waited for all records.
        held_back: calls were ready, but not sent: pauses after failures, rate limits, this client itself.
        drain_tail: the last records were under way and none was left to come.
        end: after the last reply, until the rows were written.
    """

    fraction: float = 0.0
    start: float = 0.0
    no_ready_records: float = 0.0
    barrier: float = 0.0
    held_back: float = 0.0
    drain_tail: float = 0.0
    end: float = 0.0


class DrainTail(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the run, from when all slots were taken for the last time to the last reply.

    If they never all were, it begins with the first call for the last row.

    Attributes:
        share: of the run's seconds.
        reply_p50, reply_p99: seconds of single calls, which explain it.
    """

    seconds: float = 0.0
    share: float = 0.0
    reply_p50: float = 0.0
    reply_p99: float = 0.0


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """Output tokens/s of the pipeline beside a plain closed loop that asks the same prompts.

    Attributes:
        plain: the closed loop, at the same concurrency and with replies that are not streamed.
        steady_seconds: of the run, between the first and the last moment with all slots taken; 0 if that is
            too short to say anything.
        steady_output_tokens_per_s: of the pipeline in them.
        ratio: that, divided by the plain loop's; 1 means that the engine costs nothing. None if not known.
        noise: relative standard error of it, as far as the scatter of replies makes one.
        whole_ratio: the same for the whole run, from start to the last row, whose calls are another mixture.
        kept_prompts: requests that the plain loop had: those of the steady part, or of some of its roots.
        times: how often it sent each, salted differently each time.
    """

    plain: Level
    steady_seconds: float
    steady_output_tokens_per_s: float
    ratio: float | None
    noise: float
    whole_ratio: float | None
    kept_prompts: int
    times: float


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number and the 95 % interval that it lies in; ``low`` and ``high`` are None with too few roots."""

    value: float
    low: float | None = None
    high: float | None = None


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """What an input of ``input_rows`` rows would give and cost, by the roots that settled here.

    Attributes:
        hours: wall time on this server at this concurrency, start and drain tail included.
        sampled: roots that it follows from.
        method: how, in words.
    """

    input_rows: int
    rows: Estimate
    calls: Estimate
    prompt_tokens: Estimate
    output_tokens: Estimate
    hours: Estimate
    sampled: int
    method: str


class Durability(msgspec.Struct, frozen=True, kw_only=True):
    """The same input rows once more, without a run directory.

    Attributes:
        seconds_on, seconds_off: of the runs.
        output_tokens_per_s_on, output_tokens_per_s_off: of the steady parts, or of the whole runs without.
        rows_per_s_on, rows_per_s_off: of the whole runs.
        cpu_per_1000_on, cpu_per_1000_off: this client's CPU seconds for 1,000 calls.
        cost: share of the output tokens/s that the run directory cost; below 0 it is lost in the noise.
    """

    seconds_on: float
    seconds_off: float
    output_tokens_per_s_on: float
    output_tokens_per_s_off: float
    rows_per_s_on: float
    rows_per_s_off: float
    cpu_per_1000_on: float
    cpu_per_1000_off: float
    cost: float | None


class PipelineNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a pipeline on the server.

    Attributes:
        pipeline: its name.
        input: the input file.
        concurrency: sequences in flight at most.
        seconds: of the run, from its start until all rows were written.
        roots: input rows that were taken: those that were accepted, filtered, rejected, and are pending.
        cut: why not all input rows were taken, or the run was stopped; empty if neither.
        rows: accepted rows.
        rows_per_gpu_hour: by ``gpus``.
        tokens_per_row: of prompts and replies, by accepted row; None without one.
        output_tokens_per_row: of replies alone.
        wasted: share of the tokens of settled roots that no accepted row descends from.
        calls: calls that were sent; ``saved_calls`` were answered by an identical greedy one.
        saved_share: of all calls.
        prefix_hits: share of the prompt tokens that the server's prefix cache had, by its ``/metrics``;
            ``plain_prefix_hits`` in the plain loop. None if it does not say.
        prefix_saved_tokens: prompt tokens that it had not to compute.
        funnel: what became of the records at each block.
        warnings: what a reader must know before believing the numbers.
    """

    pipeline: str
    input: str
    concurrency: int
    gpus: int
    seconds: float
    cut: str
    roots: int
    accepted: int
    filtered: int
    rejected: int
    pending: int
    rows: int
    rows_per_s: float
    rows_per_gpu_hour: float
    tokens_per_row: float | None
    output_tokens_per_row: float | None
    prompt_tokens: int
    output_tokens: int
    output_tokens_per_s: float
    wasted: float
    calls: int
    attempts: int
    failures: dict[str, int]
    saved_calls: int
    saved_share: float
    prefix_hits: float | None
    prefix_saved_tokens: float | None
    idle: Idle
    drain_tail: DrainTail
    ceiling: Ceiling | None
    projection: Projection | None
    durability: Durability | None
    funnel: tuple[BlockReport, ...]
    tokens: tuple[BlockTokens, ...]
    client: ClientShare
    server: ServerView | None
    warnings: tuple[str, ...] = ()
