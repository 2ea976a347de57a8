"""``generate``: a taxonomy becomes training data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .option_lists import MAX_REJECT_RATE
from .options import (
    CONTEXT,
    Command,
    FilePath,
    allow_path_option,
    chunk_options,
    job_keep_options,
    pick,
    pipeline_options,
    plugins_option,
    screen_options,
    settings_option,
    taxonomy_options,
    teacher_options,
)
from .typed import again, api_key, notes

__all__ = ["generate"]

_EXIT_CODES = """\b
Exit codes: 0 done; 1 bug; 2 usage, taxonomy, documents or pipeline; 3 a leaf
node failed, no row was accepted, or too many rejects; 4 teacher unusable;
5 output cannot be written; 6 the job cannot be gone on with; 130 interrupted;
143 terminated; 129 hung up.
"""


@click.command(cls=Command, context_settings=CONTEXT, epilog=_EXIT_CODES)
@click.option(
    "--taxonomy",
    required=True,
    type=FilePath,
    metavar="DIR",
    help="Folder with qna.yaml files below knowledge and compositional_skills, or one qna.yaml.",
)
@click.option(
    "--taxonomy-base",
    default="empty",
    metavar="REF",
    help="Only what has changed since this git branch, tag or commit; 'empty' means everything.",
)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("datasets"),
    metavar="DIR",
    help="Where all files go.",
)
@click.option(
    "--pipeline",
    default="simple",
    metavar="NAME|DIR",
    help="simple, full, llama, a name in the data directories, or a folder with the three pipeline files.",
)
@click.option("--system-prompt", metavar="TEXT", help="For every training row, instead of the default one.")
@taxonomy_options
@chunk_options
@click.option("--date-suffix", metavar="TEXT", help="End of all names; else the time of the first start.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=42, metavar="N", help="Of everything that is chosen."
)
@click.option(
    "--replacement/--no-replacement",
    default=True,
    help="Mix so that one row may come twice while another is left out, or each as often as any other.",
)
@MAX_REJECT_RATE
@plugins_option
@allow_path_option
@settings_option
@pipeline_options
@job_keep_options
@teacher_options
@screen_options
@click.option("--batch-size", type=int, hidden=True, help="Ignored.")
@click.option("--num-cpus", type=int, hidden=True, help="Ignored.")
@click.pass_context
def generate(ctx: click.Context, /, **options: Any) -> None:
    """Make training data of a taxonomy: samples, generated rows, benchmarks, training files.

    All leaf nodes are worked on at once, on one teacher. What was made is on disk while it goes on; the same
    command goes on after it was stopped or killed, and tries again what failed.
    """
    from ..config.data_dirs import data_dirs
    from ..config.settings import Settings
    from ..generation.report import GenerationOptions
    from ..state.keep import Keep
    from .connection import TeacherOptions
    from .documents_cache import documents_cache
    from .generate_job import GenerateJob, perform

    if options["simulate"] and ctx.get_parameter_source("endpoint_url") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--simulate and --endpoint-url exclude each other")
    teacher = pick(TeacherOptions, options)
    options["again"] = again("generate")
    settings = Settings(
        model_id=teacher.model_id,
        model_family=teacher.family,
        num_instructions=options["num_instructions"],
        max_num_tokens=options["max_num_tokens"],
    )
    keep = Keep(
        resume=options["resume"],
        edited=options["edited"],
        retry_rejected=options["retry_rejected"],
        cache=not options["no_cache"],
        fsync=options["fsync"],
        command=options["again"],
    )
    wanted = GenerationOptions(
        **{name: options[name] for name in _SAME},
        settings=settings,
        local_repos=options["allow_local_repos"],
        documents_cache=documents_cache(options["documents_cache"]),
        data_dirs=tuple(data_dirs(os.environ, Path.home())),
        allow_paths=options["allow_path"],
        keep=keep,
    )
    job = pick(GenerateJob, {**options, "teacher": teacher, "options": wanted, "notes": notes(ctx, options)})
    ctx.exit(perform(job, api_key(options)))


_SAME = (
    "taxonomy_base",
    "pipeline",
    "chunker",
    "chunk_tokens",
    "tokenizer",
    "docling_models",
    "system_prompt",
    "yaml_rules",
    "date_suffix",
    "seed",
    "replacement",
    "plugins",
)
"""Options that :class:`~sdg_stream.generation.report.GenerationOptions` knows by the same name."""
