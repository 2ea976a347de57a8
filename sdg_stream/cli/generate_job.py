"""What ``generate`` does: one job on an event loop, its account, an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from anyio.to_thread import run_sync as in_thread

from ..events import EventHook
from ..generation.generation import Generation
from ..generation.report import GenerationOptions, GenerationReport
from ..io.folders import made_folder
from ..observe.text import aligned, count, one_line, plural
from .connection import TeacherOptions, connected
from .errors import EXIT_UNSATISFIED
from .job import verdict
from .showing import Showing, Told, going_on, showing
from .signals import Stopped, run_until_signal

__all__ = ["GenerateJob", "perform"]


class GenerateJob(Told, frozen=True, kw_only=True):
    """The options of ``generate``, as they were decided; the API key is not among them."""

    taxonomy: Path
    output_dir: Path
    options: GenerationOptions
    teacher: TeacherOptions
    max_reject_rate: float


def perform(job: GenerateJob, api_key: str | None) -> int:
    """Do the job, show it, and give the exit code.

    Whatever keeps it from coming to its end is raised, after what is known of it has been shown.
    """
    try:
        with showing(job) as show:
            generation = Generation.load(job.taxonomy, job.output_dir, job.options, hook=show.hook)
            report = run_until_signal(lambda: _run(job, generation, api_key, show.hook), show.told)
    except Stopped as stopped:
        return stopped.exit_code
    return _account(job, show, report)


async def _run(
    job: GenerateJob, generation: Generation, api_key: str | None, hook: EventHook
) -> GenerationReport:
    found = await in_thread(generation.look)  # before a teacher is asked anything
    if found is not None:
        return found
    if job.teacher.serve is not None:
        await in_thread(made_folder, job.output_dir)  # the server's log is there before anything else
    log = job.output_dir / "server.log"
    async with connected(job.teacher, api_key, server_log=log, hook=hook) as teacher:
        return await generation.run(teacher)


def _account(job: GenerateJob, show: Showing, report: GenerationReport) -> int:
    """Show how it ended; the exit code."""
    where = f"{job.output_dir}, names ending in {report.date_suffix}"
    if report.finished_before:
        show.line(
            f"This job is finished: {plural(len(report.leaves), 'leaf node')},"
            f" {plural(report.run.rows, 'row')}, in {one_line(where)}. Nothing was done. --retry-rejected"
            " gives it something to do; --resume never makes another set of files."
        )
    elif job.progress != "json":
        show.account(report.run)
        show.line("\n".join(_leaves(report)))
        show.line(f"\ntraining files in {one_line(where)}:")
        show.line("\n".join(f"  {one_line(name)}" for name in report.files))
    code, words = verdict(report.run, job.max_reject_rate)
    if report.failed:
        code = EXIT_UNSATISFIED
        words = (
            f"Exit code {EXIT_UNSATISFIED}: {count(len(report.failed))} of"
            f" {plural(len(report.leaves), 'leaf node')} did not come to their end; the training files are"
            f" made of the others.{going_on(job, 'This tries them again')}"
        )
    if words:
        show.line(words)
    return code


def _leaves(report: GenerationReport) -> Iterator[str]:
    """A line for each leaf node, and why some of them failed."""
    yield f"{plural(len(report.leaves), 'leaf node')}:"
    header = ["leaf node", "type", "samples", "rows", "used", "rejects", "benchmark"]
    rows = [
        [
            one_line(leaf.name, 60),
            leaf.kind,
            count(leaf.samples),
            count(leaf.rows),
            count(leaf.used),
            count(leaf.rejects),
            "·" if leaf.benchmark is None else count(leaf.benchmark),
        ]
        for leaf in report.leaves
    ]
    yield from (f"  {line}" for line in aligned([header, *rows], left=frozenset({0, 1})))
    for leaf in report.failed:
        yield f"  failed: {one_line(leaf.name, 60)}: {leaf.error}"
