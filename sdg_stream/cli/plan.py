"""``plan``: the stages that a pipeline compiles to."""

from __future__ import annotations

from pathlib import Path

import click

from .options import CONTEXT, Command, allow_path_option, plugins_option, settings_option

__all__ = ["plan"]


@click.command(cls=Command, context_settings=CONTEXT)
@click.argument("pipeline")
@click.option("--order", type=click.Choice(["input", "none"]), default="input", help="As for run.")
@plugins_option
@allow_path_option
@settings_option
def plan(pipeline: str, order: str, plugins: tuple[Path, ...], allow_path: tuple[Path, ...]) -> None:
    """Show the stages that PIPELINE compiles to.

    Blocks on one line run as one stage; all stages run at the same time. Blocks joined by & are asked side by
    side for the same record. A group stage waits until everything has come.
    """
    from ..observe.text import clean
    from ..pipeline import Pipeline

    loaded = Pipeline.load(pipeline, plugins=plugins, allow_paths=allow_path)
    click.echo(clean(str(loaded.plan("none" if order == "none" else "input"))))
