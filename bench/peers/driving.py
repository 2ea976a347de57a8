"""What every driver shares: a job comes in as JSON, rows go out as JSONL, one JSON line says how it went.

Drivers run in the environments of other tools, so this needs nothing but the standard library.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Tag(NamedTuple):
    """A column, and what stands around its texts in a reply; empty texts mean the whole reply."""

    column: str
    start: str
    end: str


class Stage(NamedTuple):
    """One call a record.

    Attributes:
        name: of the stage, an identifier.
        template: of the prompt, in Jinja; the prompt is what it makes, stripped.
        tags: what to take from the reply.
        many: whether each text found becomes a record; else there is one.
        keep: a column and the least number it may have in a record that goes on.
    """

    name: str
    template: str
    tags: list[Tag]
    many: bool = False
    keep: tuple[str, float] | None = None

    def parse(self, reply: str) -> list[dict[str, str]]:
        """The columns of each record that comes of a reply: those with all tags, and fit to be kept."""
        found = [texts_between(reply, tag.start, tag.end) for tag in self.tags]
        columns = [tag.column for tag in self.tags]
        records = [dict(zip(columns, texts, strict=True)) for texts in zip(*found, strict=False)]
        return [record for record in (records if self.many else records[:1]) if self.keeps(record)]

    def keeps(self, record: dict[str, Any]) -> bool:
        """Whether a record goes on."""
        if self.keep is None:
            return True
        column, least = self.keep
        try:
            return float(record[column]) >= least
        except ValueError:
            return False


class Job(NamedTuple):
    """What is to be done.

    Attributes:
        url: of the teacher, up to and with ``/v1``.
        model: of the teacher.
        input: JSONL; each row has the columns that the templates name.
        output: JSONL, to be written.
        folder: for state. A job that was killed finds it again.
        stages: in order.
        concurrency: sequences in flight at most.
        options: settings of this tool in this case.
    """

    url: str
    model: str
    input: str
    output: str
    folder: str
    stages: list[Stage]
    concurrency: int
    options: dict[str, Any]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The input."""
        with Path(self.input).open("rb") as file:
            yield from map(json.loads, file)

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        """The output, at once."""
        with Path(self.output).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def texts_between(text: str, start: str, end: str) -> list[str]:
    """All texts between two tags, as InstructLab's library finds them."""
    if not start and not end:
        return [text.strip()] if text.strip() else []
    return [
        found.strip() for found in re.findall(re.escape(start) + "(.*?)" + re.escape(end), text, re.DOTALL)
    ]


def filled(template: str, row: dict[str, Any]) -> str:
    """A prompt whose template has nothing but plain variables: Jinja's work for tools that have no Jinja."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda match: str(row[match[1]]), template).strip()


def variables(template: str) -> list[str]:
    """The columns that a template names, each once."""
    names = (part.partition("}}")[0].strip() for part in template.split("{{")[1:])
    return list(dict.fromkeys(names))


def drive(work: Callable[[Job], None]) -> None:
    """Do the job whose file is the first argument, and say how it went."""
    job = read_job(Path(sys.argv[1]))
    cpu, begun = cpu_seconds(), time.monotonic()
    line: dict[str, Any] = {}
    try:
        work(job)
    except Exception as error:  # noqa: BLE001 - whatever the tool says is a result
        line["error"] = in_words(error)
    line["seconds"] = time.monotonic() - begun
    line["cpu_s"] = cpu_seconds() - cpu
    line["peak_mb"] = peak_mb()
    print(json.dumps(line), flush=True)
    sys.exit(1 if "error" in line else 0)


def in_words(error: BaseException) -> str:
    """The first error of a group, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def read_job(file: Path) -> Job:
    """A job as the comparison wrote it: a named tuple is a list there."""
    url, model, given, output, folder, stages, concurrency, options = json.loads(file.read_bytes())
    return Job(url, model, given, output, folder, [as_stage(one) for one in stages], concurrency, options)


def as_stage(data: list[Any]) -> Stage:
    """A stage from its JSON."""
    name, template, tags, many, keep = data
    return Stage(
        name, template, [Tag(*tag) for tag in tags], many, None if keep is None else (keep[0], keep[1])
    )


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


def peak_mb() -> float:
    """Most resident memory of this process so far, in MB.

    From ``VmHWM``, where there is one: ``ru_maxrss`` of a process is at least that of whoever started it.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024
