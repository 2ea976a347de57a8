"""``bench --pipeline``: the pipeline itself on the server, beside a plain closed loop with the same prompts.

First the pipeline runs, with a run directory in a folder that is removed. Rows are begun for four times the
length of a window and then finished, so that nothing is cut; only if that takes five times as long again is
the run stopped. Then a closed loop asks a sample of the very requests that the run made while all slots were
taken, at the same concurrency over the same transport: what the server gives to a client that has nothing
else to do. All prompts are salted, anew for each of these: else the server's prefix cache would make what
comes later faster.
"""

from __future__ import annotations

import math
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..abc import Request
from ..errors import ConfigError, OutputError
from ..events import Notice
from ..pipeline import Pipeline
from .knee import NOISE
from .load import Load, Phases, Wire
from .pipeline_numbers import (
    Busy,
    busy_of,
    drain_tail,
    idle_of,
    projection,
    samples_of,
    sums_of,
    tokens_by_block,
    used_places,
)
from .pipeline_results import Ceiling, Durability, Idle, PipelineNumbers, Projection
from .pipeline_run import Ran, Surroundings, Wanted, barriers_of, block_names, count_rows, run_watched
from .questions import fresh_questions
from .server_view import ServerMeter
from .sweep import level_of
from .window import rates, scatter

__all__ = ["PipelineTrial", "Trial"]

_FEED = 4.0  # windows, in which rows are begun
_LONGEST = 24.0  # windows, after which the run is stopped
_TURNOVERS = 2  # of all slots, from which on there is a steady part
_STRAYS = 0.1  # by which the shares of prefix hits may differ without a word
_UNIT = "output_tokens_per_s"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How a pipeline is tried.

    Attributes:
        gpus: that the server has.
        project: input rows to project to; None for those of the input file.
        durability: run the same rows again without a run directory.
        folder: where the run's files lie while it runs; None for where temporary files go.
    """

    gpus: int = 1
    project: int | None = None
    durability: bool = False
    folder: Path | None = None


class PipelineTrial:
    """Tries one pipeline on one server.

    Args:
        pipeline: loaded with ``provenance``.
        rows: the input file.
        limit: input rows at most.
        trial: how.
        phases: of the plain loop; they also bound the run.
        wire: to the server.
        around: of the runs.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        rows: Path,
        limit: int,
        trial: Trial,
        phases: Phases,
        wire: Wire,
        around: Surroundings,
    ) -> None:
        self._pipeline = pipeline
        self._rows = rows
        self._limit = limit
        self._trial = trial
        self._phases = phases
        self._wire = msgspec.structs.replace(wire, stream=False)
        self._around = around

    async def run(self, concurrency: int) -> PipelineNumbers:
        """Measure everything.

        Raises:
            ConfigError, TeacherUnusable, OutputError: it cannot be measured.
        """
        if str(self._rows) == "-":
            raise ConfigError(
                "a pipeline that is measured reads its input more than once: --input takes a file"
            )
        pipeline, duration = self._pipeline, self._phases.duration
        size = self._trial.project or await count_rows(self._rows)
        with _folder(self._trial.folder) as folder:
            wanted = Wanted(
                rows=self._rows,
                limit=self._limit,
                slots=concurrency,
                output=Path(folder) / "rows.jsonl",
                feed_seconds=_FEED * duration,
                longest=_LONGEST * duration,
                salt=_salt(),
            )
            self._say(
                f"running {pipeline.name} with {concurrency} in flight; rows are begun for up to "
                f"{wanted.feed_seconds:.0f} s ..."
            )
            ran = await run_watched(pipeline, wanted, self._around)
            durability = (
                await self._without_directory(pipeline, wanted, ran) if self._trial.durability else None
            )
        ceiling = await self._ceiling(ran, concurrency)
        return _numbers(pipeline, self._rows, ran, concurrency, self._trial.gpus, ceiling, size, durability)

    async def _without_directory(self, pipeline: Pipeline, wanted: Wanted, ran: Ran) -> Durability:
        self._say(f"running the same {ran.report.roots:,} rows without a run directory ...")
        again = msgspec.structs.replace(
            wanted,
            limit=ran.report.roots,
            output=wanted.output.with_name("plain.jsonl"),
            durable=False,
            feed_seconds=math.inf,
            salt=_salt(),
        )
        off = await run_watched(pipeline, again, self._around)
        rate_on, rate_off = (_steady_rate(run, wanted.slots) or _whole_rate(run) for run in (ran, off))
        return Durability(
            seconds_on=ran.seconds,
            seconds_off=off.seconds,
            output_tokens_per_s_on=rate_on,
            output_tokens_per_s_off=rate_off,
            rows_per_s_on=ran.report.rows / ran.seconds,
            rows_per_s_off=off.report.rows / off.seconds,
            cpu_per_1000_on=ran.client.cpu_per_1000,
            cpu_per_1000_off=off.client.cpu_per_1000,
            cost=1 - rate_on / rate_off if rate_off else None,
        )

    async def _ceiling(self, ran: Ran, concurrency: int) -> Ceiling | None:
        """The plain loop beside the run; None if the run was answered nothing."""
        busy, steady = busy_of(ran.log.calls, concurrency), _steady_rate(ran, concurrency)
        requests = _asked(ran, busy) if steady else ran.log.sample.requests()
        if not requests:
            return None
        questions = fresh_questions(requests, "the pipeline's own", stream=False)
        workers = max(1, round(concurrency / questions.choices))
        samples = samples_of(ran.log.calls)
        strays = scatter(samples, ran.begin, ran.end, _UNIT)
        self._say(f"asking {len(requests):,} of its prompts in a plain closed loop ...")
        meter = ServerMeter(self._around.backend, self._around.pages)
        phases = msgspec.structs.replace(self._phases, requests=math.ceil((strays / NOISE) ** 2))
        loaded = await Load(self._wire, questions, workers, meter).run(phases)
        plain = level_of(loaded, workers, workers * questions.choices)
        plain_scatter = scatter(loaded.samples, loaded.begin, loaded.end, _UNIT)
        plain = msgspec.structs.replace(plain, noise=plain_scatter / math.sqrt(max(1, plain.completed)))
        best = plain.output_tokens_per_s
        inside = sum(_in_steady(sample.ended, busy) for sample in samples)
        return Ceiling(
            plain=plain,
            steady_seconds=busy.steady_seconds if steady else 0.0,
            steady_output_tokens_per_s=steady,
            ratio=steady / best if steady and best else None,
            noise=math.hypot(plain.noise, strays / math.sqrt(max(1, inside))),
            whole_ratio=_whole_rate(ran) / best if best else None,
            kept_prompts=len(requests),
            times=len(loaded.samples) / len(requests),
        )

    def _say(self, words: str) -> None:
        self._around.hook(Notice(code="bench", message=words))


def _salt() -> str:
    return f"[{secrets.token_hex(3)}]\n"


def _folder(where: Path | None) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="sdg-stream-bench-", dir=where)
    except OSError as error:
        raise OutputError(f"no folder for the run can be made in {where}: {error.strerror}") from error


def _in_steady(moment: float, busy: Busy) -> bool:
    return busy.full_from is not None and busy.full_to is not None and busy.full_from < moment <= busy.full_to


def _steady_rate(ran: Ran, slots: int) -> float:
    """Output tokens/s between the first and the last moment with all slots taken; 0 if that is too short."""
    calls = ran.log.calls
    busy = busy_of(calls, slots)
    ended = sum(call.choices for call in calls if call.flights and _in_steady(call.flights[-1][1], busy))
    if busy.full_from is None or busy.full_to is None or ended < _TURNOVERS * slots:
        return 0.0
    return rates(samples_of(calls), busy.full_from, busy.full_to).output_tokens_per_s


def _asked(ran: Ran, busy: Busy) -> Sequence[Request]:
    """The requests of the steady part: blocks ask in another proportion there than at start and end."""
    sample = ran.log.sample
    if busy.full_from is None or busy.full_to is None:
        return sample.requests()
    return sample.requests(busy.full_from, busy.full_to) or sample.requests()


def _whole_rate(ran: Ran) -> float:
    return sum(call.output_tokens for call in ran.log.calls) / ran.seconds


def _numbers(
    pipeline: Pipeline,
    rows: Path,
    ran: Ran,
    concurrency: int,
    gpus: int,
    ceiling: Ceiling | None,
    size: int,
    durability: Durability | None,
) -> PipelineNumbers:
    report, calls, teacher = ran.report, ran.log.calls, ran.report.teacher
    busy = busy_of(calls, concurrency)
    idle = idle_of(calls, concurrency, ran.begin, ran.end, barriers_of(pipeline))
    settled = ran.settled
    tokens = tokens_by_block(
        calls, block_names(pipeline), used_places(ran.accepted), lambda root: root < settled
    )
    known = sum(call.tokens for call in calls if call.root < settled)
    prompt, output = sum(call.prompt_tokens for call in calls), sum(call.output_tokens for call in calls)
    all_calls = teacher.calls if teacher else len(calls)
    saved = teacher.saved_calls if teacher else 0
    hits = ran.server.prefix_hits if ran.server else None
    return PipelineNumbers(
        pipeline=pipeline.name,
        input=str(rows),
        concurrency=concurrency,
        gpus=gpus,
        seconds=ran.seconds,
        cut=ran.cut,
        roots=report.roots,
        accepted=report.accepted,
        filtered=report.filtered,
        rejected=report.rejected,
        pending=report.pending,
        rows=report.rows,
        rows_per_s=report.rows / ran.seconds,
        rows_per_gpu_hour=3600 * report.rows / ran.seconds / gpus,
        tokens_per_row=(prompt + output) / report.rows if report.rows else None,
        output_tokens_per_row=output / report.rows if report.rows else None,
        prompt_tokens=prompt,
        output_tokens=output,
        output_tokens_per_s=_whole_rate(ran),
        wasted=sum(block.wasted_tokens for block in tokens) / known if known else 0.0,
        calls=sum(block.calls for block in tokens),
        attempts=teacher.attempts if teacher else 0,
        failures=teacher.failures if teacher else {},
        saved_calls=saved,
        saved_share=saved / all_calls if all_calls else 0.0,
        prefix_hits=hits,
        prefix_saved_tokens=None if hits is None else hits * prompt,
        idle=idle,
        drain_tail=drain_tail(calls, busy, ran.seconds),
        ceiling=ceiling,
        projection=_projected(ran, busy, idle, concurrency, size) if settled else None,
        durability=durability,
        funnel=report.blocks,
        tokens=tokens,
        client=ran.client,
        server=ran.server,
        warnings=tuple(_warnings(ran, busy, concurrency, ceiling)),
    )


def _projected(ran: Ran, busy: Busy, idle: Idle, slots: int, size: int) -> Projection:
    doubts = ""
    if busy.full_to is None:
        doubts += "; hours as if all slots were in use, which they never were"
    if any(block.duplicates for block in ran.report.blocks):
        doubts += "; it does not know that drop_duplicates lets fewer through the more has come before"
    return projection(
        sums_of(ran.log.calls, ran.accepted, ran.settled),
        size,
        slots=slots * busy.utilisation,
        extra=(idle.start + idle.drain_tail + idle.end) * ran.seconds,
        method=doubts,
    )


def _warnings(ran: Ran, busy: Busy, slots: int, ceiling: Ceiling | None) -> list[str]:
    found = [ran.cut] if ran.cut else []
    if busy.full_to is None or ceiling is None or ceiling.ratio is None:
        found.append(
            f"{ran.report.roots:,} input rows did not keep {slots} in flight for long enough to compare: "
            "give more rows, or a smaller --concurrency"
        )
    teacher = ran.report.teacher
    if teacher is not None and teacher.failures:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(teacher.failures.items()))
        found.append(f"attempts failed and were made again or given up: {kinds}")
    if teacher is not None and teacher.tokens_estimated:
        found.append("the server tells no token counts for some replies: they were estimated from the text")
    if ran.client.bound:
        found.append(
            f"client-bound: this client wanted {ran.client.wanted_share:.0%} of a core while the pipeline ran"
        )
    plain = ceiling.plain if ceiling is not None else None
    own, other = (
        view.prefix_hits if view else None for view in (ran.server, plain.server if plain else None)
    )
    if own is not None and other is not None and abs(own - other) > _STRAYS:
        found.append(
            f"the prefix cache had {own:.0%} of the pipeline's prompt tokens and {other:.0%} of the plain "
            "loop's: the ratio of the two is off by that"
        )
    if plain is not None and plain.failed:
        found.append(f"{plain.failed:,} requests of the plain loop failed")
    return found
