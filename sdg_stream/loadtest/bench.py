"""One load test: endpoints, questions, the sweep, perhaps the pipeline itself, and what follows."""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Literal, TypeAlias

import msgspec

from ..abc import Api
from ..errors import AttemptError, ConfigError, TeacherUnusable
from ..events import EventHook
from ..pipeline import Pipeline
from ..teacher.connect import Transport, authorization, connect, make_backend
from ..teacher.http import AiohttpBackend
from ..teacher.lean import LeanBackend
from ..teacher.preflight import PreflightReport, preflight
from ..teacher.redaction import proxy_secrets, without
from ..version import __version__
from .call_log import CallLog, WatchedBackend, WatchedTeacher
from .knee import curve_of, noise_of, plateau, recommended, unit_of
from .load import Wire
from .pipeline_results import PipelineNumbers
from .pipeline_run import Connect, Surroundings
from .pipeline_trial import PipelineTrial, Trial
from .questions import Questions, fresh_questions, from_requests, read_prompts
from .recording import Recorder, record_prompts
from .results import BenchReport, ClientShare, Level, Setup
from .sweep import Plan, Sweep
from .synthetic import TokenShape, measure_text, synthetic
from .window import Sample

__all__ = ["Asked", "Bench", "FilePrompts", "Listener", "PipelinePrompts", "Prompts", "assembled"]

_STRAYS = 0.1  # share by which sizes may miss what was asked for without a word
_CROWDED = 0.9  # of the CPU time that was wanted; less, and the machine is short of it


class FilePrompts(msgspec.Struct, frozen=True, kw_only=True):
    """Prompts of a JSONL file; ``max_tokens`` is for rows that do not say."""

    file: Path
    max_tokens: int = 128


class PipelinePrompts(msgspec.Struct, frozen=True, kw_only=True):
    """What the first asking block of a pipeline asks for the first ``limit`` rows of a file.

    ``load`` gives the pipeline once it is known which model is asked. With a ``trial`` the pipeline itself is
    run as well, at the concurrency that the sweep recommends; it must be loaded with ``provenance`` then.
    """

    load: Callable[[str], Pipeline]
    rows: Path
    limit: int = 1000
    trial: Trial | None = None


Prompts: TypeAlias = TokenShape | FilePrompts | PipelinePrompts


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured; the API key is not among it."""

    endpoint_url: Sequence[str]
    prompts: Prompts
    plan: Plan = Plan()
    model_id: str | None = None
    api: Literal["auto", "completions", "chat"] = "auto"
    stream: bool = True
    timeout: float = 600.0
    transport: Transport = "auto"
    ca_file: Path | None = None
    proxy: str | None = None
    wait_ready: float = 0.0
    simulated: bool = False
    command: str = ""


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told what, while it goes on; see :class:`~.sweep.Sweep` for the last three."""

    hook: EventHook
    ready: Callable[[Setup], None]
    begins: Callable[[int, int], None]
    ends: Callable[[Level], None]
    samples: Callable[[int, Sequence[Sample]], None]


class Bench:
    """A load test, and what it has found so far: :meth:`report` may be asked for at any time."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._date = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
        self._setup: Setup | None = None
        self._questions: Questions | None = None
        self._sweep: Sweep | None = None
        self._pipeline: PipelineNumbers | None = None
        self._finished = False

    def report(self) -> BenchReport | None:
        """What has been measured so far; None if nothing has."""
        if self._setup is None or self._sweep is None or self._questions is None or not self._sweep.levels:
            return None
        return assembled(
            self._date,
            self._setup,
            self._sweep.levels,
            stopped=self._sweep.stopped,
            interrupted=not self._finished,
            doubled=not self._asked.plan.levels,
            warnings=[
                *_repeats(self._questions, self._sweep.sent),
                *_sizes(self._questions, self._sweep.levels),
            ],
            pipeline=self._pipeline,
        )

    async def run(self, api_key: str | None, listener: Listener) -> None:
        """Measure everything.

        Raises:
            ConfigError: an option, the prompts or the pipeline.
            TeacherUnusable: no server, no such model, a refused key, or nothing but failures.
        """
        asked = self._asked
        headers, secrets = authorization(api_key)
        secrets += proxy_secrets(asked.proxy)
        backend = make_backend(asked.transport, asked.endpoint_url, ca_file=asked.ca_file, proxy=asked.proxy)
        try:
            found = await preflight(
                asked.endpoint_url,
                backend,
                model=asked.model_id or "",
                api=asked.api,
                headers=headers,
                secrets=secrets,
                wait_ready=asked.wait_ready,
                hook=listener.hook,
            )
            api = _usable(found)
            wire = Wire(
                backend=backend,
                urls=[facts.url for facts in found.endpoints],
                headers={"Content-Type": "application/json", **headers},
                secrets=secrets,
                timeout=asked.timeout,
                stream=asked.stream,
            )
            self._questions = await _questions(asked, wire, found, api)
            self._setup = _setup(asked, found, api, self._questions, backend)
            listener.ready(self._setup)
            pages = [facts.metrics_url for facts in found.endpoints if facts.metrics]
            self._sweep = Sweep(
                wire,
                self._questions,
                pages,
                asked.plan,
                begins=listener.begins,
                ends=listener.ends,
                samples=listener.samples,
            )
            await self._sweep.run()
            around = Surroundings(
                connect=_connecting(asked, found.model, api, api_key),
                backend=backend,
                pages=pages,
                hook=listener.hook,
            )
            await self._try(wire, found.model, around)
            self._finished = True
        finally:
            await backend.aclose()

    async def _try(self, wire: Wire, model: str, around: Surroundings) -> None:
        """Run the pipeline itself, if that is wanted and the sweep has found how."""
        prompts, swept = self._asked.prompts, self.report()
        if not isinstance(prompts, PipelinePrompts) or prompts.trial is None or swept is None:
            return
        if swept.recommended_concurrency is None:
            return
        pipeline = prompts.load(model)
        trial = PipelineTrial(
            pipeline, prompts.rows, prompts.limit, prompts.trial, self._asked.plan.phases, wire, around
        )
        self._pipeline = await trial.run(swept.recommended_concurrency)


def assembled(
    date: str,
    setup: Setup,
    levels: Sequence[Level],
    *,
    stopped: str = "",
    interrupted: bool = False,
    doubled: bool = True,
    warnings: Sequence[str] = (),
    pipeline: PipelineNumbers | None = None,
) -> BenchReport:
    """Levels, and what follows from them."""
    unit = unit_of(levels)
    curve = curve_of(levels, unit)
    chosen, best = recommended(curve, noise_of(levels)), plateau(curve)
    bound = any(level.client.bound for level in levels if level.concurrency >= (chosen or 0))
    rate = "output tokens/s" if unit == "output_tokens_per_s" else "requests/s"
    knee = ""
    if chosen is not None:
        knee = f"{chosen} in flight give {curve[chosen]:,.1f} of about {best:,.1f} {rate}"
        if chosen == max(curve) and not (doubled and stopped and len(curve) > 1 and not interrupted):
            knee += "; more in flight may give more, that was not measured"
    return BenchReport(
        date=date,
        setup=setup,
        recommended_concurrency=chosen,
        best=best,
        unit=unit,
        knee=knee,
        stopped=stopped,
        interrupted=interrupted,
        client_bound=bound,
        levels=tuple(levels),
        warnings=(*_doubts(levels, bound=bound), *warnings),
        pipeline=pipeline,
    )


def _connecting(asked: Asked, model: str, api: Api, api_key: str | None) -> Connect:
    """How a pipeline comes to the server that was swept; the closure keeps the key out of all structs."""

    @asynccontextmanager
    async def connecting(log: CallLog, slots: int) -> AsyncIterator[WatchedTeacher]:
        urls = asked.endpoint_url
        wire = make_backend(asked.transport, urls, ca_file=asked.ca_file, proxy=asked.proxy)
        watched = WatchedBackend(wire, log)
        async with connect(
            urls,
            model=model,
            api=api,
            api_key=api_key,
            concurrency=slots,
            timeout=asked.timeout,
            proxy=asked.proxy,
            backend=watched,
        ) as client:
            watched.honours_n = client.honours_n
            yield WatchedTeacher(client, log)

    return connecting


def _doubts(levels: Sequence[Level], *, bound: bool) -> list[str]:
    """What a reader must know before believing the numbers."""
    found = []
    if bound:
        found.append(_client_words(next(level.client for level in reversed(levels) if level.client.bound)))
    failed = sum(level.failed for level in levels)
    if failed:
        kinds = sorted({kind for level in levels for kind in level.errors})
        found.append(f"{failed:,} requests failed ({', '.join(kinds)}); they count in no rate")
    if any(level.tokens_estimated for level in levels):
        found.append("the server tells no token counts for some replies: pieces of text were counted instead")
    for level in levels:
        found += [f"{level.concurrency} in flight: {note}" for note in level.notes]
    return found


def _client_words(client: ClientShare) -> str:
    """What a client at its limit means."""
    crowded = client.cpu_share < _CROWDED * client.wanted_share
    why = "other programs took the rest" if crowded else "one process of this client gives no more"
    return (
        f"client-bound: this client wanted {client.wanted_share:.0%} of a core and got {client.cpu_share:.0%}"
        f" ({why}): the server can give more than was measured. Several of these at once, or --no-stream if"
        " replies are streamed, ask more of it"
    )


def _repeats(questions: Questions, sent: int) -> list[str]:
    if questions.distinct is None or sent <= questions.distinct:
        return []
    times = f"{sent / questions.distinct:.1f} times"
    why = "where the server caches prefixes, that is faster than new prompts would be"
    return [f"each of the {questions.distinct:,} prompts was sent about {times}: {why}"]


def _sizes(questions: Questions, levels: Sequence[Level]) -> list[str]:
    """Whether synthetic prompts and their replies had the size that was asked for."""
    known = [level for level in levels if level.prompt_tokens_mean and level.output_tokens_mean]
    if questions.size is None or not known:
        return []
    means = (
        median(level.prompt_tokens_mean for level in known),
        median(level.output_tokens_mean for level in known),
    )
    return [
        f"{what} had {mean:,.0f} tokens on average, not the {wanted:,} that were asked for"
        for what, mean, wanted in zip(("prompts", "replies"), means, questions.size, strict=True)
        if abs(mean - wanted) > _STRAYS * wanted
    ]


async def _questions(asked: Asked, wire: Wire, found: PreflightReport, api: Api) -> Questions:
    """What is asked, made from what the user named."""
    prompts, model = asked.prompts, found.model
    if isinstance(prompts, TokenShape):
        try:
            measure = await measure_text(
                wire.backend, wire.urls[0], api=api, model=model, headers=wire.headers
            )
        except AttemptError as error:
            words = without(error.message, wire.secrets)
            raise TeacherUnusable(f"{wire.urls[0]} answers no tiny request: {words}") from None
        return synthetic(prompts, measure, api=api, model=model, stream=asked.stream)
    if isinstance(prompts, FilePrompts):
        requests = await read_prompts(prompts.file, api=api, model=model, max_tokens=prompts.max_tokens)
        return from_requests(requests, f"{len(requests):,} of {prompts.file}", stream=asked.stream)
    pipeline = prompts.load(model)
    recorder = Recorder(model, api, found.max_model_len(model))
    recorded = await record_prompts(pipeline, prompts.rows, recorder, limit=prompts.limit)
    about = f"{len(recorded):,} of the first asking block of {pipeline.name} over {prompts.rows}"
    if prompts.trial is None:
        return from_requests(recorded, about, stream=asked.stream)
    # As the run's: what is swept must not be faster for having been asked before.
    return fresh_questions(recorded, about, stream=asked.stream)


def _usable(found: PreflightReport) -> Api:
    """The API to ask through."""
    if found.problems or not found.api:
        raise TeacherUnusable("\n".join(found.problems))
    if not found.model:
        raise ConfigError(f"which model? --model-id names one of {', '.join(found.models[:20]) or 'them'}")
    return found.api


def _setup(
    asked: Asked,
    found: PreflightReport,
    api: Api,
    questions: Questions,
    backend: AiohttpBackend | LeanBackend,
) -> Setup:
    phases = asked.plan.phases
    return Setup(
        endpoints=tuple(facts.url for facts in found.endpoints),
        model=found.model,
        server=", ".join(dict.fromkeys(facts.server for facts in found.endpoints if facts.server)),
        api=api,
        prompts=questions.about,
        stream=asked.stream,
        warmup=phases.warmup,
        duration=phases.duration,
        repeat=asked.plan.repeat,
        timeout=asked.timeout,
        transport="lean" if isinstance(backend, LeanBackend) else "aiohttp",
        simulated=asked.simulated,
        version=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cpus=os.cpu_count() or 0,
        command=asked.command,
    )
