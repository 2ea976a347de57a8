"""What a job remembers beside its runs: what it was asked for, which commits it took, and how it ended.

``generate_<suffix>.run/`` holds ``job.json``, a lock, and the rows that benchmarks are made of. The samples,
the generated rows and the journals of their runs say themselves how far they are.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..errors import RunStateError
from ..io.folders import made_folder
from ..mixing.names import part_of_a_name
from ..mixing.whole_file import WholeFile
from ..state.differences import differences, render
from ..state.directory import RunLock
from ..state.keep import Keep
from ..version import __version__
from .dated_suffix import dated_suffix
from .report import GenerationReport

__all__ = ["Job", "JobFile", "choose"]

FORMAT = 1

_FOLDER = re.compile(r"generate_(?P<suffix>.+)\.run")


class JobFile(msgspec.Struct, frozen=True, kw_only=True):
    """``job.json``.

    Attributes:
        format: of this file.
        version: of the package that wrote it.
        facts: what decides the rows, section by section.
        commits: the commit that a leaf node's documents are of, by name of the leaf node.
        command: what a person types to go on; empty if a program started the job.
        edited: a change was accepted, and not all runs may know of it yet.
        report: the account of the job when it last ended; None while it has not.
    """

    format: int = FORMAT
    version: str = __version__
    facts: dict[str, Any]
    commits: dict[str, str] = {}
    command: str = ""
    edited: bool = False
    report: GenerationReport | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.report is not None and not self.report.failed


class Job(msgspec.Struct):
    """A job that has been chosen.

    Attributes:
        output_dir: where all files are.
        suffix: the end of their names.
        before: what was remembered of it; None if it is new.
        changed: what differs from then and was accepted, by section.
    """

    output_dir: Path
    suffix: str
    before: JobFile | None = None
    changed: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The job's own folder."""
        return self.output_dir / f"generate_{self.suffix}.run"

    @property
    def benchmark(self) -> Path:
        """Where the rows of benchmarks go."""
        return self.folder / "benchmark"

    def path(self, name: str) -> Path:
        """A folder of the job beside its own, such as ``preprocessed``."""
        return self.output_dir / f"{name}_{self.suffix}"

    def open(self) -> RunLock:
        """Make the folders, and take the lock.

        Raises:
            RunStateError: another process works on the job.
            OutputError: a folder cannot be made.
        """
        for folder in (self.benchmark, self.path("preprocessed"), self.path("generated")):
            made_folder(folder)
        lock = RunLock(self.folder)
        lock.acquire()
        return lock

    def save(self, content: JobFile) -> None:
        """Write ``job.json`` as a whole.

        Raises:
            OutputError: it cannot be written.
        """
        with WholeFile(self.folder / "job.json") as file:
            file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def choose(
    output_dir: Path, suffix: str | None, facts: dict[str, Any], keep: Keep, *, another: bool = False
) -> Job:
    """The job of an output folder to go on with, or a new one.

    Without a suffix that is the one worked on last; when it is finished, and something else is wanted now, a
    new one.
    With ``another`` it is one that is not finished and was begun with the same, else a new one.

    Raises:
        RunStateError: it was begun with something else, is damaged, or ``keep`` wants what is not there.
        ConfigError: the suffix cannot be part of a file name.
    """
    if suffix is not None:
        part_of_a_name(suffix, "the date suffix")
    elif another:
        return _unfinished(output_dir, facts) or Job(output_dir, _new_suffix(output_dir))
    if keep.resume == "never":
        return _new(output_dir, suffix)
    known = [suffix] if suffix is not None else _suffixes(output_dir)[-1:]
    job = Job(output_dir, known[0] if known else _new_suffix(output_dir))
    before = _read(job.folder / "job.json")
    if before is None:
        if keep.resume == "require":
            raise RunStateError(f"there is nothing to go on with in {output_dir}")
        return job
    found = differences(before.facts, _comparable(facts, before.facts))
    if not found:
        return Job(output_dir, job.suffix, before)
    if keep.edited:
        return Job(output_dir, job.suffix, before, tuple(str(one) for one in found))
    if before.finished and suffix is None:
        return Job(output_dir, _new_suffix(output_dir))
    state = "is finished and" if before.finished else "is not finished, and"
    raise RunStateError(
        f"{job.folder} {state} was begun with something else:\n  "
        + render(found).replace("\n", "\n  ")
        + "\nWith --edited (in Python: edited=True) it goes on with what is there now, and only what that"
        " reaches is asked again; --resume never (resume='never') begins another set of files."
    )


def _new(output_dir: Path, suffix: str | None) -> Job:
    """A job of which there is nothing yet, whatever else is there."""
    job = Job(output_dir, suffix or _new_suffix(output_dir))
    if (job.folder / "job.json").exists():
        raise RunStateError(f"{job.folder} exists; name another date suffix for another set of files")
    return job


def _comparable(facts: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The facts, without a teacher's if none is known yet: then it counts as the one before."""
    return facts if facts.get("teacher") else {**facts, "teacher": before.get("teacher", {})}


def _unfinished(output_dir: Path, facts: dict[str, Any]) -> Job | None:
    """The latest job that is not finished and was begun with the same; damaged ones are passed over."""
    for suffix in reversed(_suffixes(output_dir)):
        job = Job(output_dir, suffix)
        with suppress(RunStateError):
            job.before = _read(job.folder / "job.json")
        before = job.before
        if before is None or before.finished:
            continue
        if not differences(before.facts, _comparable(facts, before.facts)):
            return job
    return None


def _suffixes(output_dir: Path) -> list[str]:
    """Of all jobs of a folder, in the order in which they were worked on last: names need not be times."""
    if not output_dir.is_dir():
        return []
    found: list[tuple[int, str]] = []
    for folder in output_dir.iterdir():
        match = _FOLDER.fullmatch(folder.name)
        with suppress(OSError):  # it has no job.json, or was taken away just now
            if match is not None:
                found.append(((folder / "job.json").stat().st_mtime_ns, match["suffix"]))
    return [suffix for _, suffix in sorted(found)]


def _new_suffix(output_dir: Path) -> str:
    """The time, so that no other job has it."""
    return dated_suffix(lambda suffix: Job(output_dir, suffix).folder.exists())


def _read(file: Path) -> JobFile | None:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunStateError(f"{file}: cannot be read: {error.strerror}") from error
    try:
        found = msgspec.json.decode(data, type=JobFile)
    except msgspec.MsgspecError as error:
        raise RunStateError(
            f"{file} is damaged: {error}. --resume never begins another set of files"
        ) from error
    if found.format != FORMAT:
        raise RunStateError(
            f"{file} has format {found.format}, written by version {found.version};"
            f" this version knows {FORMAT}"
        )
    return found
