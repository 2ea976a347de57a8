"""What ``run`` does: options to structs, one run on an event loop, its account, an exit code."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Literal

from ..abc import Teacher
from ..config.settings import Settings
from ..engine.limits import BUDGETS, Limits
from ..errors import OutputError
from ..events import EventHook, RunReport
from ..io.jsonl import JsonlSink, JsonlSource
from ..observe.text import count, one_line, plural
from ..pipeline import Pipeline
from ..state.opening import FINISHED_BEFORE, Keep
from .connection import TeacherOptions, connected
from .errors import EXIT_BUDGET, EXIT_UNSATISFIED, reader_left
from .showing import Told, showing
from .signals import Stopped, run_until_signal

__all__ = ["Job", "perform", "verdict"]


STDIN = STDOUT = "-"


class Job(Told, frozen=True, kw_only=True):
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
    teacher: TeacherOptions


def perform(job: Job, api_key: str | None) -> int:
    """Run the job, show it, and give the exit code.

    Whatever keeps it from coming to its end is raised, after what is known of it has been shown.

    Raises:
        BrokenPipeError: the reader of standard output left early.
    """
    # Rows and a panel on one terminal: lines, then.
    terminal = not (job.output == STDOUT and sys.stdout.isatty())
    try:
        with showing(job, terminal=terminal) as show, _readers_may_leave(job.output):
            pipeline = _load(job, show.hook)
            report = run_until_signal(lambda: _run(job, pipeline, api_key, show.hook), show.told)
    except Stopped as stopped:
        return stopped.exit_code
    if report.stopped == FINISHED_BEFORE:
        show.line(_finished(report))
    else:
        show.account(report)
    code, words = verdict(report, job.max_reject_rate, job.limits.target)
    if words:
        show.line(words)
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
            connection = connected(job.teacher, api_key, server_log=_server_log(job), hook=hook)
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


@contextmanager
def _readers_may_leave(output: str) -> Iterator[None]:
    """Tell a reader of standard output that has left from output that cannot be written.

    Raises:
        BrokenPipeError: it has left.
    """
    try:
        yield
    except OutputError as error:
        if output == STDOUT and reader_left():
            raise BrokenPipeError from error
        raise


def _input(job: Job) -> JsonlSource:
    return JsonlSource(job.input, strict=job.strict_input, max_bad=job.max_bad_input)


def _server_log(job: Job) -> Path:
    """In the run directory, or in a new folder if there is none."""
    if job.output == STDOUT:
        return Path(tempfile.mkdtemp(prefix="sdg-stream-")) / "server.log"
    return Path(job.output + ".run") / "server.log"


def _load(job: Job, hook: EventHook) -> Pipeline:
    settings = Settings(
        model_id=job.teacher.model_id,
        model_family=job.teacher.family,
        num_instructions=job.num_instructions,
        max_num_tokens=job.max_num_tokens,
        provenance=job.provenance,
    )
    return Pipeline.load(job.pipeline, settings, plugins=job.plugins, allow_paths=job.allow_path, hook=hook)


def _finished(report: RunReport) -> str:
    """A run that had been finished, in a line."""
    return (
        f"This run is finished: {plural(report.rows, 'row')} of {plural(report.roots, 'input row')} in"
        f" {one_line(report.output)}. Nothing was done. More input rows, --retry-rejected or --edited give it"
        " something to do; --overwrite starts again."
    )
