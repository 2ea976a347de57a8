"""``check``: everything that can be known without a teacher."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import CONTEXT, Command, pipeline_options, plugins_option, settings_option

if TYPE_CHECKING:
    from ..errors import Problem

__all__ = ["check"]

_BAD_ROWS = 20  # that are listed one by one


@click.command(cls=Command, context_settings=CONTEXT)
@click.argument("pipeline")
@click.option("--input", "-i", metavar="FILE", help="Input rows: are they sound, do they have the columns?")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
@plugins_option
@settings_option
@pipeline_options
def check(pipeline: str, as_json: bool, plugins: tuple[Path, ...], **options: Any) -> None:
    """List every mistake in PIPELINE that can be seen without a teacher; exit 2 if there is any.

    With --input, also those in the rows, and whether the columns that the blocks read are there.
    """
    from ..config.settings import Settings
    from ..errors import ConfigError
    from ..pipeline import Pipeline
    from .errors import explain_config
    from .signals import Stopped, run_until_signal

    file = options.pop("input")
    lines: list[str] = []
    problems: list[Problem] = []
    columns: set[str] | None = None
    rows = 0
    try:
        loaded = Pipeline.load(pipeline, Settings(**options), plugins=plugins)
        if file:
            rows, columns = run_until_signal(lambda: _read(file, problems), partial(click.echo, err=True))
        problems += loaded.check(columns)
        lines = loaded.plan().lines()
    except ConfigError as error:
        problems += error.problems
    except Stopped as stopped:
        raise click.exceptions.Exit(stopped.exit_code) from None
    if as_json:
        _print_json(pipeline, problems, lines, rows)
    elif problems:
        explain_config(tuple(problems))
    else:
        checked = f", {rows} rows of {file}" if file else ""
        click.echo("\n".join([f"OK: {pipeline}{checked}", *lines]))
    raise click.exceptions.Exit(2 if problems else 0)


async def _read(file: str, problems: list[Problem]) -> tuple[int, set[str] | None]:
    """Read all rows: how many there are, and the columns that all of them have."""
    from ..errors import Problem, RecordError
    from ..io.jsonl import JsonlSource

    source = JsonlSource(file)
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


def _print_json(pipeline: str, problems: list[Problem], lines: list[str], rows: int) -> None:
    import msgspec

    result = {
        "pipeline": pipeline,
        "ok": not problems,
        "problems": problems,
        "stages": lines,
        "rows": rows,
    }
    click.echo(msgspec.json.encode(result).decode())
