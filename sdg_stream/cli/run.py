"""``run``: one pipeline over records; without arguments a demo."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from .option_lists import MAX_REJECT_RATE
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
from .typed import again, api_key, notes

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
@MAX_REJECT_RATE
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
    from ..durable import can_be_resumed
    from ..engine.limits import Limits
    from ..state.opening import Keep
    from .connection import TeacherOptions
    from .demo import Demo
    from .job import STDOUT, Job, perform

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
    typed = again("run")
    resumable = options["output"] != STDOUT and can_be_resumed(options["output"])
    options["again"] = typed if resumable else ""
    options["keep"] = pick(Keep, {**options, "cache": not options["no_cache"], "command": typed})
    options["teacher"] = pick(TeacherOptions, options)
    job = pick(Job, {**options, "notes": notes(ctx, options, demo=demo is not None)})
    code = perform(job, api_key(options))
    if demo is not None and code == 0:
        demo.close()
    ctx.exit(code)


_NEEDED = {
    "pipeline": "which pipeline? Name a file or a shipped one: `{name} pipelines list` shows them.",
    "input": "which input? --input FILE, or --input - for standard input.",
    "output": "which output? --output FILE, or --output - for standard output.",
}


def _pipeline_name(argument: str | None, option: str | None) -> str | None:
    if argument is not None and option is not None and argument != option:
        raise click.UsageError("two pipelines are named: give PIPELINE or --pipeline")
    return argument if argument is not None else option
