"""What ``run`` does: options to structs, one run on an event loop, its account, an exit code."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from ..abc import Teacher
from ..config.settings import Settings
from ..durable import can_be_resumed
from ..engine.limits import BUDGETS, Limits
from ..errors import ConfigError, OutputError, SdgStreamError
from ..events import Event, EventHook, Progress, RunFinished, RunReport
from ..io.jsonl import JsonlSink, JsonlSource
from ..observe.progress import Mode, Screen, choose_mode, open_screen
from ..observe.summary import FirstRejects, summary
from ..observe.text import count, one_line, plural
from ..pipeline import Pipeline
from ..state.opening import FINISHED_BEFORE, Keep
from ..teacher.connect import connect
from .errors import EXIT_BUDGET, EXIT_UNSATISFIED, reader_left
from .logs import LogHook, configure_logging
from .serve import serving
from .signals import Stopped, run_until_signal

__all__ = ["Job", "perform", "verdict"]


STDIN = STDOUT = "-"
_WAIT_READY = 60.0  # seconds
_WAIT_SERVED = 600.0
_SIMULATED_FAMILY = "mixtral"
_SIMULATED_TOKENS_PER_S = 300.0  # of a slot: a small model on a large accelerator; nobody waits for a demo


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``run``, as they were decided; the API key is not among them."""

    pipeline: str
    input: str
    output: str
    limit: int | None
    order: Literal["input", "none"]
    keep: Keep = Keep()
    import_checkpoint: Path | None = None
    limits: Limits = Limits()
    max_reject_rate: float
    provenance: bool
    strict_input: bool = False
    max_bad_input: int | None = None
    plugins: tuple[Path, ...]
    allow_path: tuple[Path, ...] = ()
    num_instructions: int
    max_num_tokens: int | None
    endpoint_url: tuple[str, ...]
    model_id: str | None
    model_family: str | None
    api: Literal["auto", "completions", "chat"]
    concurrency: int | Literal["auto"]
    rpm: float | None = None
    tpm: float | None = None
    timeout: float
    max_attempts: int
    max_outage: float = 120.0
    hedge: bool = False
    transport: Literal["auto", "aiohttp", "lean"] = "auto"
    simulate: bool
    wait_ready: float | None = None
    serve: str | None = None
    ca_file: Path | None = None
    proxy: str | None = None
    stream_replies: bool = False
    progress: Mode
    log_level: str
    log_json: bool
    notes: tuple[tuple[str, str], ...] = ()
    again: str = ""


class Latest:
    """A hook that keeps the last account of the run, for when the run does not come to return one."""

    report: RunReport | None = None

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, Progress | RunFinished):
            self.report = event.report


def perform(job: Job, api_key: str | None) -> int:
    """Run the job, show it, and give the exit code.

    Whatever keeps it from coming to its end is raised, after what is known of it has been shown.

    Raises:
        BrokenPipeError: the reader of standard output left early.
    """
    screen = _screen(job)
    configure_logging(screen, job.log_level, as_json=job.log_json and job.progress != "json")
    first, latest = FirstRejects(), Latest()
    hooks: list[EventHook] = [screen, first, latest]
    if job.progress != "json":
        hooks.append(LogHook())
    try:
        for level, words in job.notes:
            screen.line(f"{'warning' if level == 'warning' else 'note'}: {words}")
        hook = _fan_out(hooks)
        pipeline = _load(job, hook)
        report = run_until_signal(lambda: _run(job, pipeline, api_key, hook), partial(_told, screen))
    except Stopped as stopped:
        _close(job, screen, latest.report, first)
        screen.line(f"Stopped by {stopped}. {_saved(latest.report)}{_going_on(job)}")
        return stopped.exit_code
    except Exception as error:
        screen.close()
        if job.output == STDOUT and isinstance(error, OutputError) and reader_left():
            raise BrokenPipeError from error
        _close(job, screen, latest.report, first)
        if latest.report is not None and isinstance(error, SdgStreamError):
            saved = "" if isinstance(error, OutputError) else _saved(latest.report)  # it says so itself
            error.add_note(f"{saved}{_going_on(job)}".strip())
        raise
    finally:
        screen.close()
    if report.stopped == FINISHED_BEFORE:
        screen.line(_finished(report))
    else:
        _close(job, screen, report, first)
    code, words = verdict(report, job.max_reject_rate, job.limits.target)
    if words:
        screen.line(words)
    return code


def verdict(report: RunReport, max_reject_rate: float, target: int | None = None) -> tuple[int, str]:
    """The exit code of a run that came to its end, and why it is not 0 or not what was wanted."""
    if report.stopped in BUDGETS:
        wanted = f" of the {count(target)} that were wanted" if target is not None else ""
        return EXIT_BUDGET, (
            f"Exit code {EXIT_BUDGET}: the {report.stopped} ended the run before its input, with"
            f" {plural(report.rows, 'row')}{wanted}."
        )
    if report.roots and not report.rows:
        return EXIT_UNSATISFIED, f"Exit code {EXIT_UNSATISFIED}: no row was accepted."
    if report.roots_with_rejects > max_reject_rate * report.roots:
        share = report.roots_with_rejects / report.roots
        return EXIT_UNSATISFIED, (
            f"Exit code {EXIT_UNSATISFIED}: {count(report.roots_with_rejects)} of"
            f" {plural(report.roots, 'root')} ({share:.0%}) have rejects,"
            f" more than --max-reject-rate {max_reject_rate:g} allows."
        )
    if target is not None and report.rows < target:
        return 0, f"The input ended before the target: {count(report.rows)} of {count(target)} rows."
    return 0, ""


async def _run(job: Job, pipeline: Pipeline, api_key: str | None, hook: EventHook) -> RunReport:
    if job.output == STDOUT and sys.__stdout__ is None:
        raise OutputError("standard output is closed; name a file with --output")
    async with AsyncExitStack() as stack:
        barrier = any(stage.kind == "group" for stage in pipeline.plan(job.order).stages)
        job.limits.check(barrier=barrier)
        if job.input != STDIN and job.output != STDOUT:  # before a teacher is asked anything
            found = await pipeline.look(
                _input(job),
                job.output,
                limit=job.limit,
                limits=job.limits,
                keep=job.keep,
                import_checkpoint=job.import_checkpoint,
            )
            if found is not None:
                return found
        teacher: Teacher | None = None
        if pipeline.uses_teacher:
            urls = await _endpoints(job, api_key, hook, stack)
            connection = connect(
                urls,
                model=job.model_id,
                api=job.api,
                api_key=api_key,
                concurrency=job.concurrency,
                rpm=job.rpm,
                tpm=job.tpm,
                timeout=job.timeout,
                max_attempts=job.max_attempts,
                max_outage=job.max_outage,
                hedge=job.hedge,
                wait_ready=_wait_ready(job),
                ca_file=job.ca_file,
                proxy=job.proxy,
                stream=job.stream_replies,
                transport=job.transport,
                hook=hook,
            )
            teacher = await stack.enter_async_context(connection)
        output: str | JsonlSink = job.output
        if output == STDOUT:
            output = JsonlSink(STDOUT)
            await output.open()
        return await pipeline.run(
            _input(job),
            output,
            teacher,
            order=job.order,
            limit=job.limit,
            limits=job.limits,
            keep=job.keep,
            import_checkpoint=job.import_checkpoint,
            hook=hook,
        )


def _input(job: Job) -> JsonlSource:
    return JsonlSource(job.input, strict=job.strict_input, max_bad=job.max_bad_input)


async def _endpoints(
    job: Job, api_key: str | None, hook: EventHook, stack: AsyncExitStack
) -> tuple[str, ...]:
    """The URLs to ask; what ``--serve`` or ``--simulate`` start there lives as long as the run."""
    if job.serve is not None:
        if job.simulate:
            raise ConfigError("--serve and --simulate exclude each other")
        server = serving(
            job.serve,
            job.endpoint_url[0],
            _server_log(job),
            wait_ready=_wait_ready(job),
            ca_file=job.ca_file,
            proxy=job.proxy,
            secrets=[api_key] if api_key else [],
            hook=hook,
        )
        await stack.enter_async_context(server)
    if not job.simulate:
        return job.endpoint_url
    from ..simulator.server import serve
    from ..simulator.settings import SimulatorSettings

    slots = 64 if job.concurrency == "auto" else job.concurrency
    settings = SimulatorSettings(slots=slots, decode_tokens_per_s=_SIMULATED_TOKENS_PER_S)
    simulated = await stack.enter_async_context(serve(settings, "127.0.0.1", 0))
    return (simulated.url,)


def _wait_ready(job: Job) -> float:
    """Seconds; a server of our own has its model to load."""
    if job.wait_ready is not None:
        return job.wait_ready
    return _WAIT_READY if job.serve is None else _WAIT_SERVED


def _server_log(job: Job) -> Path:
    """In the run directory, or in a new folder if there is none."""
    if job.output == STDOUT:
        return Path(tempfile.mkdtemp(prefix="sdg-stream-")) / "server.log"
    return Path(job.output + ".run") / "server.log"


def _load(job: Job, hook: EventHook) -> Pipeline:
    settings = Settings(
        model_id=job.model_id,
        model_family=job.model_family or (_SIMULATED_FAMILY if job.simulate else None),
        num_instructions=job.num_instructions,
        max_num_tokens=job.max_num_tokens,
        provenance=job.provenance,
    )
    return Pipeline.load(job.pipeline, settings, plugins=job.plugins, allow_paths=job.allow_path, hook=hook)


def _screen(job: Job) -> Screen:
    shared = job.output == STDOUT and sys.stdout.isatty()  # rows and a panel on one terminal: lines, then
    terminal = sys.stderr.isatty() and not shared
    mode = choose_mode(job.progress, terminal=terminal, dumb=os.environ.get("TERM") == "dumb")
    return open_screen(mode, sys.stderr)


def _close(job: Job, screen: Screen, report: RunReport | None, first: FirstRejects) -> None:
    """End the progress and show the account; with JSON events it came as ``run_finished``."""
    screen.close()
    if report is not None and job.progress != "json":
        screen.line(f"\n{summary(report, first)}\n")


def _told(screen: Screen, words: str) -> None:
    """Words about a signal: the panel goes first, since a second signal leaves no time for it."""
    screen.close()
    screen.line(words)


def _saved(report: RunReport | None) -> str:
    if report is None:
        return "Nothing was written."
    return f"{plural(report.rows, 'row')} of settled roots saved in {one_line(report.output)}."


def _finished(report: RunReport) -> str:
    """A run that had been finished, in a line."""
    return (
        f"This run is finished: {plural(report.rows, 'row')} of {plural(report.roots, 'input row')} in"
        f" {one_line(report.output)}. Nothing was done. More input rows, --retry-rejected or --edited give it"
        " something to do; --overwrite starts again."
    )


def _going_on(job: Job) -> str:
    """What to type next."""
    if not can_be_resumed(job.output) or not job.again:
        return ""
    return f"\nThis goes on from there:\n  {job.again}"


def _fan_out(hooks: list[EventHook]) -> EventHook:
    def tell(event: Event, /) -> None:
        for hook in hooks:
            hook(event)

    return tell
