"""``check``: everything that can be known without a teacher, and whether the teacher can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .option_lists import STRICT_INPUT
from .options import (
    CONTEXT,
    Command,
    allow_path_option,
    endpoint_options,
    pick,
    pipeline_options,
    plugins_option,
    settings_option,
)
from .typed import api_key

if TYPE_CHECKING:
    from ..errors import Problem
    from ..events import Event
    from ..teacher.preflight import PreflightReport

__all__ = ["check"]

_BAD_ROWS = 20  # that are listed one by one


@click.command(cls=Command, context_settings=CONTEXT)
@click.argument("pipeline", required=False)
@click.option("--input", "-i", metavar="FILE", help="Input rows: are they sound, do they have the columns?")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
@plugins_option
@allow_path_option
@settings_option
@pipeline_options
@STRICT_INPUT
@endpoint_options
def check(pipeline: str | None, as_json: bool, **options: Any) -> None:
    """List every mistake in PIPELINE that can be seen without a teacher; exit 2 if there is any.

    With --input, also those in the rows, and whether the columns that the blocks read are there. With
    --endpoint-url, with or without PIPELINE, also look whether the teacher can be used; exit 4 if not.
    """
    from .signals import Stopped

    if pipeline is None and not options["endpoint_url"]:
        raise click.UsageError("what is to be checked? Name a PIPELINE, an --endpoint-url, or both")
    found = Found()
    try:
        if pipeline is not None:
            _check_pipeline(pipeline, options, found)
        screen = _check_endpoints(options, found) if options["endpoint_url"] else []
    except Stopped as stopped:
        raise click.exceptions.Exit(stopped.exit_code) from None
    if as_json:
        _print_json(pipeline, found)
    else:
        _print(pipeline, options["input"], found, screen)
    unusable = found.teacher is not None and not found.teacher.usable
    raise click.exceptions.Exit(2 if found.problems else 4 if unusable else 0)


class Found:
    """What has been found out: mistakes, the plan's lines, the number of rows, the state of the teacher."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines: list[str] = []
        self.rows = 0
        self.teacher: PreflightReport | None = None


def _check_pipeline(pipeline: str, options: dict[str, Any], found: Found) -> None:
    from ..config.settings import Settings
    from ..errors import ConfigError
    from ..pipeline import Pipeline
    from .signals import run_until_signal

    decided = {name: options[name] for name in ("model_id", "num_instructions", "max_num_tokens")}
    file, strict, problems = options["input"], options["strict_input"], found.problems
    columns: set[str] | None = None
    try:
        folders = {"plugins": options["plugins"], "allow_paths": options["allow_path"]}
        loaded = Pipeline.load(pipeline, Settings(**decided), **folders)
        if file:
            found.rows, columns = run_until_signal(lambda: _read(file, problems, strict=strict), _say)
        problems += loaded.check(columns)
        found.lines = loaded.plan().lines()
    except ConfigError as error:
        problems += error.problems


def _check_endpoints(options: dict[str, Any], found: Found) -> list[str]:
    """Look at the endpoints; the lines to show."""
    from ..events import Notice
    from .endpoint import Endpoints, look, screen
    from .signals import run_until_signal

    asked, key = pick(Endpoints, options), api_key(options)

    def tell(event: Event, /) -> None:
        if isinstance(event, Notice):
            _say(event.message)

    found.teacher = run_until_signal(lambda: look(asked, key, tell), _say)
    return screen(found.teacher, asked)


async def _read(file: str, problems: list[Problem], *, strict: bool) -> tuple[int, set[str] | None]:
    """Read all rows: how many there are, and the columns that all of them have."""
    from ..errors import Problem, RecordError
    from ..io.jsonl import JsonlSource

    source = JsonlSource(file, strict=strict)
    source.on_warning = lambda _code, words: _say(f"warning: {words}")
    rows, bad = 0, 0
    columns: set[str] | None = None
    try:
        while items := await source.read():
            for item in items:
                rows += 1
                if isinstance(item, RecordError):
                    bad += 1
                    if bad <= _BAD_ROWS:
                        problems.append(Problem(file=source.name, message=item.message))
                else:
                    columns = set(item) if columns is None else columns & set(item)
    finally:
        await source.aclose()
    if bad > _BAD_ROWS:
        problems.append(Problem(file=source.name, message=f"{bad - _BAD_ROWS} more rows are unsound"))
    return rows, columns


def _print(pipeline: str | None, file: str | None, found: Found, screen: list[str]) -> None:
    from ..observe.text import clean
    from .errors import explain_config

    if found.problems:
        explain_config(tuple(found.problems))
    elif pipeline is not None:
        checked = f", {found.rows} rows of {file}" if file else ""
        click.echo(clean("\n".join([f"OK: {pipeline}{checked}", *found.lines])))
    for line in screen:
        click.echo(line)
    if found.teacher is not None and not found.teacher.usable:
        bad, whole = len(found.teacher.problems), len(found.teacher.endpoints)
        _say(f"Error: {bad} of {whole} endpoints cannot be used" if whole > 1 else "Error: unusable teacher")


def _print_json(pipeline: str | None, found: Found) -> None:
    import json

    import msgspec

    result: dict[str, Any] = {
        "pipeline": pipeline,
        "ok": not found.problems and (found.teacher is None or found.teacher.usable),
        "problems": found.problems,
        "stages": found.lines,
        "rows": found.rows,
    }
    if found.teacher is not None:
        result["teacher"] = {**msgspec.structs.asdict(found.teacher), "usable": found.teacher.usable}
    click.echo(json.dumps(msgspec.to_builtins(result)))  # ASCII: nothing that a terminal would act on


def _say(words: str) -> None:
    from ..observe.text import one_line

    click.echo(one_line(words), err=True)
