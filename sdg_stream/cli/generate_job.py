"""What ``generate`` does: one job on an event loop, its account, an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
from anyio.to_thread import run_sync as in_thread

from ..errors import OutputError, SdgStreamError
from ..events import EventHook
from ..generation.generation import Generation
from ..generation.report import GenerationOptions, GenerationReport
from ..observe.progress import Mode, Screen
from ..observe.summary import FirstRejects, summary
from ..observe.text import aligned, count, one_line, plural
from .connection import TeacherOptions, connected
from .errors import EXIT_UNSATISFIED
from .job import verdict
from .logs import configure_logging
from .showing import Latest, hooks_of, saved, screen_of, told
from .signals import Stopped, run_until_signal

__all__ = ["GenerateJob", "perform"]


class GenerateJob(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``generate``, as they were decided; the API key is not among them."""

    taxonomy: Path
    output_dir: Path
    options: GenerationOptions
    teacher: TeacherOptions
    max_reject_rate: float
    progress: Mode
    log_level: str
    log_json: bool
    notes: tuple[tuple[str, str], ...] = ()
    again: str = ""


def perform(job: GenerateJob, api_key: str | None) -> int:
    """Do the job, show it, and give the exit code.

    Whatever keeps it from coming to its end is raised, after what is known of it has been shown.
    """
    screen = screen_of(job.progress)
    configure_logging(screen, job.log_level, as_json=job.log_json and job.progress != "json")
    first, latest = FirstRejects(), Latest()
    hook = hooks_of(screen, first, latest, log=job.progress != "json")
    try:
        for level, words in job.notes:
            screen.line(f"{'warning' if level == 'warning' else 'note'}: {words}")
        generation = Generation.load(job.taxonomy, job.output_dir, job.options, hook=hook)
        report = run_until_signal(lambda: _run(job, generation, api_key, hook), partial(told, screen))
    except Stopped as stopped:
        _close(job, screen, latest, first)
        screen.line(f"Stopped by {stopped}. {saved(latest.report)}{_going_on(job)}")
        return stopped.exit_code
    except SdgStreamError as error:
        _close(job, screen, latest, first)
        if latest.report is not None:
            words = "" if isinstance(error, OutputError) else saved(latest.report)
            error.add_note(f"{words}{_going_on(job)}".strip())
        raise
    finally:
        screen.close()
    return _account(job, screen, report, first)


async def _run(
    job: GenerateJob, generation: Generation, api_key: str | None, hook: EventHook
) -> GenerationReport:
    found = await in_thread(generation.look)  # before a teacher is asked anything
    if found is not None:
        return found
    if job.teacher.serve is not None:
        await in_thread(_make_folder, job.output_dir)  # the server's log is there before anything else
    log = job.output_dir / "server.log"
    async with connected(job.teacher, api_key, server_log=log, hook=hook) as teacher:
        return await generation.run(teacher)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error


def _account(job: GenerateJob, screen: Screen, report: GenerationReport, first: FirstRejects) -> int:
    """Show how it ended; the exit code."""
    where = f"{job.output_dir}, names ending in {report.date_suffix}"
    if report.finished_before:
        screen.line(
            f"This job is finished: {plural(len(report.leaves), 'leaf node')},"
            f" {plural(report.run.rows, 'row')}, in {one_line(where)}. Nothing was done. --retry-rejected"
            " gives it something to do; --resume never makes another set of files."
        )
    elif job.progress != "json":
        screen.line(f"\n{summary(report.run, first)}\n")
        screen.line("\n".join(_leaves(report)))
        screen.line(f"\ntraining files in {one_line(where)}:")
        screen.line("\n".join(f"  {one_line(name)}" for name in report.files))
    code, words = verdict(report.run, job.max_reject_rate)
    if report.failed:
        code = EXIT_UNSATISFIED
        words = (
            f"Exit code {EXIT_UNSATISFIED}: {count(len(report.failed))} of"
            f" {plural(len(report.leaves), 'leaf node')} did not come to their end; the training files are"
            f" made of the others.{_going_on(job, 'This tries them again')}"
        )
    if words:
        screen.line(words)
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


def _close(job: GenerateJob, screen: Screen, latest: Latest, first: FirstRejects) -> None:
    screen.close()
    if latest.report is not None and job.progress != "json":
        screen.line(f"\n{summary(latest.report, first)}\n")


def _going_on(job: GenerateJob, words: str = "This goes on from there") -> str:
    return f"\n{words}:\n  {job.again}" if job.again else ""
