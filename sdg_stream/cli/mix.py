"""``mix``: the datasets of a recipe, in the shares that it names, as one training file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .errors import EXIT_UNSATISFIED
from .options import CONTEXT, Command, FilePath, settings_option

if TYPE_CHECKING:
    from ..mixing.mix import MixReport

__all__ = ["mix"]


@click.command(cls=Command, context_settings=CONTEXT)
@click.option(
    "--recipe", required=True, type=FilePath, metavar="FILE", help="YAML file of datasets and shares."
)
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="FILE|-",
    help="Training file, JSONL. It appears when it is complete; .gz packs it.",
)
@click.option(
    "--system-prompt", metavar="TEXT", help="For every row, instead of the prompt that stands in the recipe."
)
@click.option(
    "--replacement/--no-replacement",
    default=True,
    help="Draw rows so that one may come twice while another is left out, or each as often as any other.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=42,
    metavar="N",
    help="Of what is drawn. 42 draws the rows that InstructLab's SDG library draws.",
)
@click.option("--json", "as_json", is_flag=True, help="What has been mixed as JSON.")
@settings_option
def mix(
    recipe: Path, output: str, system_prompt: str | None, replacement: bool, seed: int, as_json: bool
) -> None:
    """Mix the datasets of a recipe into one training file.

    The recipe lists JSONL files, relative to itself, each with a sampling_size: a whole number is so many
    rows, a number with a point a share of them; 1.0 is every row once. All other columns than id, messages,
    metadata and unmask move into the metadata.
    """
    from ..mixing.mix import mix as mix_recipe
    from ..mixing.recipe import load_recipe

    loaded = load_recipe(recipe)
    for warning in loaded.warnings:
        _notice("recipe", warning)
    report = mix_recipe(
        loaded, output, system_prompt=system_prompt, replacement=replacement, seed=seed, notice=_notice
    )
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report).decode(), err=output == "-")
    else:
        _print(recipe, report)
    if not report.rows:
        raise click.exceptions.Exit(EXIT_UNSATISFIED)


def _print(recipe: Path, report: MixReport) -> None:
    from ..observe.text import count, one_line, plural

    if not report.datasets:
        _say(f"{recipe} lists no datasets: nothing is written")
        return
    for one in report.datasets:
        _say(f"{one.path}: {count(one.drawn)} of {plural(one.rows, 'row')}")
    _say(f"{plural(report.rows, 'row')} in {one_line(report.output)}")


def _notice(_code: str, words: str) -> None:
    _say(f"warning: {words}")


def _say(words: str) -> None:
    from ..observe.text import one_line

    click.echo(one_line(words), err=True)
