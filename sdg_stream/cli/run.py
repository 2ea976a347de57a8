"""``run``: one pipeline over records; without arguments a demo."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import click
from click.core import ParameterSource

from .hidden import without_hidden
from .options import (
    CONTEXT,
    Command,
    allow_path_option,
    input_options,
    keep_options,
    limit_options,
    pick,
    pipeline_options,
    plugins_option,
    screen_options,
    settings_option,
    teacher_options,
)

__all__ = ["run"]


_EXIT_CODES = """\b
Exit codes: 0 done; 1 bug; 2 usage, pipeline or input; 3 no row accepted, or
too many rejects; 4 teacher unusable; 5 output cannot be written; 6 the run
cannot be gone on with; 7 stopped at a budget; 130 interrupted; 143 terminated;
129 hung up.
"""


@click.command(cls=Command, context_settings=CONTEXT, epilog=_EXIT_CODES)
@click.argument("pipeline_argument", metavar="[PIPELINE]", required=False)
@click.option("--pipeline", metavar="PIPELINE", help="The same as the argument.")
@click.option("--input", "-i", metavar="FILE", help="Input rows, JSONL; - is standard input.")
@click.option("--output", "-o", metavar="FILE", help="Accepted rows, JSONL; - is standard output.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N input rows.")
@click.option(
    "--order",
    type=click.Choice(["input", "none"]),
    default="input",
    help="Rows in the order of the input, or as they are finished.",
)
@click.option(
    "--max-reject-rate",
    type=click.FloatRange(0, 1),
    default=0.5,
    metavar="R",
    help="Exit with 3 when a larger share of the input rows has rejects.",
)
@click.option("--provenance", is_flag=True, help="Add to each row where it comes from and what it cost.")
@input_options
@plugins_option
@allow_path_option
@settings_option
@pipeline_options
@limit_options
@keep_options
@teacher_options
@screen_options
@click.option("--batch-size", type=int, hidden=True, help="Ignored.")
@click.option("--num-cpus", type=int, hidden=True, help="Ignored.")
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Run a pipeline over records.

    PIPELINE is a file, or the name of a shipped pipeline such as full/knowledge (see `sdg-stream pipelines`).
    Without any of PIPELINE, --input, --output and --endpoint-url this is a demo: sample seeds, a shipped
    pipeline, a simulated teacher.

    Each option can also stand in the environment (SDG_STREAM_MODEL_ID for --model-id) and in the file given
    by --settings (model_id); the command line wins over the environment, and that over the file.
    """
    from ..engine.limits import Limits
    from ..state.opening import Keep
    from .demo import Demo
    from .job import Job, perform

    options["pipeline"] = _pipeline_name(options.pop("pipeline_argument"), options["pipeline"])
    endpoint_from = ctx.get_parameter_source("endpoint_url")
    if options["simulate"] and endpoint_from is ParameterSource.COMMANDLINE:
        raise click.UsageError("--simulate and --endpoint-url exclude each other")
    demo = None
    if endpoint_from is ParameterSource.DEFAULT and not any(options[name] for name in _NEEDED):
        demo = Demo(quiet=options["progress"] == "json")
        demo.open()
        options |= demo.options
    for name, hint in _NEEDED.items():
        if not options[name]:
            raise click.UsageError(hint.format(name=ctx.find_root().info_name))
    options["limits"] = pick(Limits, options)
    options["again"] = _again()
    options["keep"] = pick(Keep, {**options, "cache": not options["no_cache"], "command": options["again"]})
    job = pick(Job, {**options, "notes": _notes(ctx, options, demo=demo is not None)})
    code = perform(job, _api_key(options))
    if demo is not None and code == 0:
        demo.close()
    ctx.exit(code)


_NEEDED = {
    "pipeline": "which pipeline? Name a file or a shipped one: `{name} pipelines list` shows them.",
    "input": "which input? --input FILE, or --input - for standard input.",
    "output": "which output? --output FILE, or --output - for standard output.",
}


_LEFT_OUT = frozenset({"--overwrite", "--retry-rejected"})  # a second time they would undo or repeat
_LEFT_OUT_WITH_VALUE = frozenset({"--api-key", "--resume"})


def _pipeline_name(argument: str | None, option: str | None) -> str | None:
    if argument is not None and option is not None and argument != option:
        raise click.UsageError("two pipelines are named: give PIPELINE or --pipeline")
    return argument if argument is not None else option


def _again() -> str:
    """The command that goes on, for a shell: as it was typed, but for secrets and for what is done once."""
    from .demo import own_command

    words, value_of_left_out = ["run"], False
    for word in sys.argv[2:]:
        option, has_value, _ = word.partition("=")
        if not value_of_left_out and option not in _LEFT_OUT and option not in _LEFT_OUT_WITH_VALUE:
            words.append(word)
        value_of_left_out = option in _LEFT_OUT_WITH_VALUE and not has_value
    return " ".join([own_command(), *(shlex.quote(without_hidden(word)) for word in words)])


def _api_key(options: dict[str, Any]) -> str | None:
    """The key itself: never shown, never kept in a struct that could be printed."""
    if options["simulate"]:
        return None
    return options["api_key"] or os.environ.get(options["api_key_env"]) or None


def _notes(ctx: click.Context, options: dict[str, Any], *, demo: bool) -> tuple[tuple[str, str], ...]:
    """What is worth a word about the options themselves: level and words."""
    notes = []
    if options["simulate"] and not demo:  # which says so itself
        notes.append(("info", "the teacher is SIMULATED: its replies have the right form and mean nothing"))
    if ctx.get_parameter_source("api_key") is ParameterSource.COMMANDLINE:
        notes.append(
            ("warning", "others on this machine can see a key on the command line; use --api-key-env")
        )
    chosen_key = ctx.get_parameter_source("api_key_env") is not ParameterSource.DEFAULT
    if chosen_key and not options["simulate"] and not _api_key(options):
        notes.append(("warning", "the variable that --api-key-env names is not set: calls go without a key"))
    for name in ("batch_size", "num_cpus"):
        if options[name] is not None:
            option = name.replace("_", "-")
            notes.append(("info", f"--{option} is ignored: rows stream through all blocks at once"))
    return tuple(notes)
