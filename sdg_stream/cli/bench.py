"""``bench``: measure a server; ``bench compare``: two measurements side by side."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .options import (
    CONTEXT,
    Command,
    FilePath,
    allow_path_option,
    bench_options,
    pick,
    pipeline_options,
    plugins_option,
    settings_option,
)
from .typed import api_key

__all__ = ["bench"]

_EXIT_CODES = """\b
Exit codes: 0 measured; 1 bug; 2 usage, pipeline or prompts; 4 server unusable;
5 a file cannot be written; 130 interrupted; 143 terminated. What was measured
before the end is shown and written in any case.
"""
_POSITIVE = click.FloatRange(min=0, min_open=True)


class _Levels(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Concurrencies, separated by commas."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The numbers, each once, in order."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = {int(part) for part in str(value).split(",")}
        except ValueError:
            numbers = {0}
        if min(numbers) < 1:
            self.fail(f"{value!r} is no list of numbers of at least 1, such as 1,8,64", param, ctx)
        return tuple(sorted(numbers))


class _Bench(Command, click.Group):
    """A command with options of its own and a command below it."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options in sections, then the commands."""
        Command.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(
    cls=_Bench,
    context_settings=CONTEXT,
    invoke_without_command=True,
    epilog=_EXIT_CODES,
    no_args_is_help=False,
)
@click.option(
    "--concurrency",
    "--levels",
    "levels",
    type=_Levels(),
    help="Exactly these numbers of sequences in flight, such as 1,8,64; by default doubled until more do not"
    " help, and then looked at closely around the knee.",
)
@click.option(
    "--max-concurrency",
    type=click.IntRange(min=1),
    default=1024,
    metavar="N",
    help="The most to try by default.",
)
@click.option("--duration", type=_POSITIVE, default=15.0, metavar="SECONDS", help="Of each level's window.")
@click.option(
    "--warmup", type=click.FloatRange(min=0), default=3.0, metavar="SECONDS", help="Before it, at least."
)
@click.option(
    "--repeat", type=click.IntRange(min=1), default=1, metavar="N", help="Measure each level N times."
)
@click.option(
    "--stream/--no-stream", default=True, help="Streamed replies, for times to the first and between tokens."
)
@click.option("--prompts", type=FilePath, metavar="FILE", help="JSONL with prompt or messages in each row.")
@click.option(
    "--pipeline",
    metavar="PIPELINE",
    help="Sweep with what the first asking block of a pipeline asks, then run the pipeline itself ...",
)
@click.option("--input", "-i", type=FilePath, metavar="FILE", help="... for these rows, JSONL.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=1000, metavar="N", help="Only the first N rows of it."
)
@click.option(
    "--run/--no-run",
    default=True,
    help="Run the pipeline after the sweep, at the concurrency that it recommends, beside a plain closed loop"
    " with the same prompts. Rows are begun for four times --duration and then finished; after 24 times"
    " --duration the run is stopped.",
)
@click.option(
    "--gpus", type=click.IntRange(min=1), default=1, metavar="N", help="Of the server, for rows per GPU-hour."
)
@click.option(
    "--project",
    type=click.IntRange(min=1),
    metavar="N",
    help="Input rows to tell rows, tokens and hours for; by default those of --input.",
)
@click.option(
    "--durability", is_flag=True, help="Run the same rows again without a run directory: what it costs."
)
@click.option(
    "--output-dir",
    type=FilePath,
    metavar="DIR",
    help="Where the files of the run lie while it goes on; by default where temporary files go.",
)
@click.option(
    "--prompt-tokens", type=click.IntRange(min=1), default=512, metavar="N", help="Of synthetic prompts."
)
@click.option(
    "--output-tokens",
    type=click.IntRange(min=1),
    default=128,
    metavar="N",
    help="Of replies to synthetic prompts; the most for those of --prompts.",
)
@click.option(
    "--shared-prefix",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Of the tokens of synthetic prompts, so many are the same in all.",
)
@click.option("--json", type=FilePath, metavar="FILE", help="Everything that was measured.")
@click.option("--csv", type=FilePath, metavar="FILE", help="A line for each level.")
@click.option("--requests", type=FilePath, metavar="FILE", help="A line of JSON for each request.")
@click.option("--html", type=FilePath, metavar="FILE", help="A page with charts.")
@plugins_option
@allow_path_option
@settings_option
@pipeline_options
@bench_options
@click.pass_context
def bench(ctx: click.Context, /, **options: Any) -> None:
    """Measure what a server gives, and at which concurrency it gives (nearly) all of it.

    More and more requests are kept in flight until more do not help. Prompts are synthetic, or those of
    --prompts, or those that the first block of --pipeline makes of --input. Then the pipeline itself is run:
    accepted rows a second and per GPU-hour, tokens per row and wasted ones, how long the teacher was idle and
    why, how much of the server's plain throughput the pipeline got, and what a larger input would take. One
    number for --concurrency shortens the sweep to one level.
    """
    if ctx.invoked_subcommand is not None:
        return
    from .bench_job import BenchJob, perform

    given = [name for name in ("simulate", "serve") if options[name]]
    if options["simulate"] and ctx.get_parameter_source("endpoint_url") is ParameterSource.COMMANDLINE:
        given.append("endpoint-url")
    if options["simulate"] and len(given) > 1:
        raise click.UsageError(f"--simulate and --{given[-1]} exclude each other")
    if options["prompts"] and options["pipeline"]:
        raise click.UsageError("--prompts and --pipeline exclude each other")
    if options["input"] and not options["pipeline"]:
        raise click.UsageError("--input needs --pipeline; --prompts takes a file of prompts")
    needing = ("gpus", "project", "durability", "output_dir")
    for name in needing:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE and not (
            options["pipeline"] and options["run"]
        ):
            raise click.UsageError(f"--{name.replace('_', '-')} is about a run of --pipeline")
    if options["shared_prefix"] > options["prompt_tokens"]:
        raise click.UsageError("--shared-prefix is a part of --prompt-tokens and cannot be more")
    job = pick(BenchJob, {**options, "command": _typed()})
    ctx.exit(perform(job, api_key(options)))


@bench.command(cls=Command)
@click.argument("first", metavar="A.json", type=FilePath)
@click.argument("second", metavar="B.json", type=FilePath)
def compare(first: Path, second: Path) -> None:
    """Compare two files of `bench --json`: what differs between the set-ups, then B divided by A."""
    from ..loadtest.compare import compared
    from ..loadtest.files import read_report
    from ..observe.bench_text import comparison_text

    click.echo(comparison_text(compared(read_report(first), read_report(second))))


def _typed() -> str:
    """The command as it was typed, without secrets."""
    from .hidden import without_hidden

    words, before = ["bench"], ""
    for word in sys.argv[2:]:
        if before != "--api-key" and word.partition("=")[0] != "--api-key":
            words.append(shlex.quote(without_hidden(word)))
        before = word
    return " ".join(words)
