"""Upstream's ``generate_data``: the whole job in one call."""

from __future__ import annotations

import logging
import warnings
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

from ..config.settings import Settings
from ..errors import GenerateException
from ..generation.generation import Generation
from ..generation.report import GenerationOptions, GenerationReport
from ..teacher.client import TeacherClient
from .calling import as_generate_exception, run_to_end
from .client import connection
from .common import AnyPath, existing_rules, folder_of, user_dirs
from .leaves import tell_checkpoints
from .rows import CHUNK_WORDS, CONTEXT_SIZE, DEPRECATED
from .telling import LOGGER, LoggerHook, tell_unused

__all__ = ["generate_data"]


def generate_data(  # noqa: PLR0917 -- upstream's arguments in upstream's order
    client: Any,
    logger: logging.Logger = LOGGER,
    system_prompt: str | None = None,
    use_legacy_pretraining_format: bool | None = True,
    model_family: str | None = None,
    model_name: str | None = None,
    num_cpus: int | None = None,
    num_instructions_to_generate: int | None = 30,
    taxonomy: AnyPath | None = None,
    taxonomy_base: str | None = None,
    output_dir: AnyPath | None = None,
    console_output: bool = True,
    yaml_rules: AnyPath | None = None,
    chunk_word_count: int | None = None,
    server_ctx_size: int | None = None,
    pipeline: str | None = "simple",
    batch_size: int | None = None,
    checkpoint_dir: AnyPath | None = None,
    max_num_tokens: int | None = 4096,
    *,
    allow_local_repos: bool = False,
) -> None:
    """Make training data of a taxonomy, as :class:`~sdg_stream.generation.generation.Generation` does.

    Each call makes a set of files of its own, with names that end in the time. But where ``output_dir`` holds
    a set that was begun with the same and did not come to its end, that one is gone on with.

    Args:
        client: an ``openai.OpenAI`` object, or anything with ``base_url`` and ``api_key``.
        logger: told how it goes.
        system_prompt: for every training row; None is a neutral one, not upstream's.
        use_legacy_pretraining_format: no effect; deprecated.
        model_family: chat template family; by default as the pipelines say.
        model_name: the model to ask; None takes the only one that the server lists. If it is the path of a
            model, its tokenizer counts the tokens of chunks; they are estimated else.
        num_cpus: no effect.
        num_instructions_to_generate: what ``n: scaled`` stands for in pipelines.
        taxonomy: a folder, or one qna.yaml file.
        taxonomy_base: None or ``empty`` for the whole taxonomy, or a git ref: then what has changed since.
        output_dir: where all files go; made if it is not there.
        console_output: False logs warnings only.
        yaml_rules: a yamllint configuration; one that is not there stands for the default.
        chunk_word_count: no effect: chunks have at most 500 tokens.
        server_ctx_size: no effect.
        pipeline: ``simple``, ``full``, ``llama``, a name in the data directories, or a folder.
        batch_size: no effect.
        checkpoint_dir: no effect: going on needs none.
        max_num_tokens: ``max_tokens`` of the blocks named ``gen_knowledge``, unless it is 4096.
        allow_local_repos: documents may come from git repositories on this machine.

    Raises:
        GenerateException: something is wrong with the arguments, the taxonomy, its documents, the pipelines
            or the teacher; or with single leaf nodes, when everything has been made of the others.
    """
    if use_legacy_pretraining_format:
        warnings.warn(DEPRECATED, DeprecationWarning, stacklevel=2)
    hook = LoggerHook(logger, quiet=not console_output)
    tell_unused(
        hook,
        num_cpus=(num_cpus, None),
        batch_size=(batch_size, None),
        chunk_word_count=(chunk_word_count, CHUNK_WORDS),
        server_ctx_size=(server_ctx_size, CONTEXT_SIZE),
    )
    with as_generate_exception():
        tell_checkpoints(hook, checkpoint_dir)
        teacher = connection(client, model_name, hook)
        options = GenerationOptions(
            taxonomy_base=taxonomy_base or "empty",
            pipeline=pipeline or "",
            settings=Settings(
                model_id=model_name,
                model_family=model_family,
                num_instructions=num_instructions_to_generate,
                max_num_tokens=max_num_tokens,
            ),
            tokenizer=_tokenizer(model_name),
            system_prompt=system_prompt,
            yaml_rules=existing_rules(yaml_rules, hook),
            local_repos=allow_local_repos,
            data_dirs=user_dirs(),
            another=True,
        )
        folder = folder_of(output_dir, "output_dir")
        generation = Generation.load(folder_of(taxonomy, "taxonomy"), folder, options, hook=hook)
        _account(run_to_end(partial(_run, generation, teacher), hook.warn), hook)


async def _run(
    generation: Generation, connected: AbstractAsyncContextManager[TeacherClient]
) -> GenerationReport:
    async with connected as teacher:
        return await generation.run(teacher)


def _tokenizer(model: str | None) -> Path | None:
    """The path that a model's name may be."""
    return Path(model) if model and Path(model).exists() else None


def _account(report: GenerationReport, hook: LoggerHook) -> None:
    """Say what was made.

    Raises:
        GenerateException: of some leaf nodes it was not.
    """
    rows = sum(leaf.rows for leaf in report.leaves)
    words = f"{rows:,} rows of {len(report.leaves):,} leaf nodes in {report.run.seconds:,.1f} s"
    hook.info(f"{words}; training files in {report.output_dir}, names ending in {report.date_suffix}")
    if report.failed:
        failed = [f"{leaf.name}: {leaf.error}" for leaf in report.failed]
        words = (
            "leaf nodes that did not come to their end; the training files are made of the others, and the"
            " same call tries these again"
        )
        raise GenerateException("\n  ".join([f"{words}:", *failed]))
