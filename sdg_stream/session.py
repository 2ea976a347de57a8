"""One session of a run: what the engine works with, what is told of it, and what ``run.json`` notes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from .abc import Teacher
from .engine.plan import Plan
from .errors import OutputError
from .events import EventHook, Notice, RunReport, RunStarted
from .ledger import Ledger, Past, Roots
from .state.directory import RunDirectory, make_private
from .threads import in_thread
from .version import __version__

__all__ = ["Session", "finished_before"]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session that can begin.

    Attributes:
        ledger: where settled roots go.
        teacher: who is asked, if anybody.
        facts: what runs, for ``run.json``: JSON-able, without secrets, ``pipeline`` and ``input`` in it.
        past: what earlier sessions have done.
        retried: roots with rejects that are run again from this session on.
        output: the output, if it has a run directory.
    """

    ledger: Ledger
    teacher: Teacher | None
    facts: Mapping[str, Any]
    past: Past = msgspec.field(default_factory=lambda: Past(settled=Roots()))
    retried: int = 0
    output: Path | None = None

    async def note(self, report: RunReport | None) -> None:
        """Write ``run.json``: before the run without a report, then with it.

        Raises:
            OutputError: it cannot be written.
        """
        if self.output is not None:
            await in_thread(partial(_write_run_file, self.output, self.facts, report))

    def tell(self, hook: EventHook | None, plan: Plan) -> None:
        """Tell that it begins, and whether it goes on with earlier ones."""
        if hook is None:
            return
        settled, again = len(self.past.settled), len(self.past.redo)
        hook(
            RunStarted(
                pipeline=self.facts["pipeline"],
                stages=tuple(plan.lines()),
                input=self.facts["input"],
                output=str(self.ledger.output),
                settled_before=settled - again,
                retried=self.retried,
            )
        )
        if settled:
            words = f"going on with this run: {settled:,} roots were settled before"
            with_rejects = f", {again:,} of them with rejects are run again" if again else ""
            hook(Notice(code="going_on", message=words + with_rejects))


async def finished_before(report: RunReport, source: str, output: str) -> RunReport:
    """The account of a run that has nothing left to do.

    It also goes into ``run.json``, where it is missing if the process was killed as it ended.
    """
    report = msgspec.structs.replace(report, input=source, output=output)
    await in_thread(partial(_complete_run_file, Path(output), report))
    return report


def _complete_run_file(output: Path, report: RunReport) -> None:
    try:
        facts = json.loads(RunDirectory(output).run_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if facts.pop("report", report) is None:
        _write_run_file(output, facts, msgspec.structs.replace(report, stopped=""))


def _write_run_file(output: Path, facts: Mapping[str, Any], report: RunReport | None) -> None:
    path = RunDirectory(output).run_file
    new = path.with_name(path.name + ".new")
    text = json.dumps(
        {"version": __version__, **facts, "report": report and msgspec.to_builtins(report)}, indent=2
    )
    make_private(new)
    try:
        new.write_text(text + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
