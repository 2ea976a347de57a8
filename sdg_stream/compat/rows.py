"""Upstream's steps that ask nobody: samples of a taxonomy, training files of rows, mixing."""

from __future__ import annotations

import warnings
from functools import partial
from itertools import chain
from pathlib import Path

import anyio

from ..durable import in_own_task
from ..errors import ConfigError
from ..generation.report import SYSTEM_PROMPT
from ..io.folders import made_folder
from ..mixing.mix import mix
from ..mixing.names import part_of_a_name
from ..mixing.recipe import load_recipe
from ..mixing.row_files import read_sound_rows
from ..mixing.training_files import TrainingFiles, write_test_file
from ..taxonomy.chunkers import make_chunker
from ..taxonomy.clones import Fetcher
from ..taxonomy.documents import Chunker
from ..taxonomy.leaf import KnowledgeLeaf, Taxonomy
from ..taxonomy.preprocess import Preprocessed, preprocess
from ..taxonomy.reading import read_taxonomy
from .calling import as_generate_exception, run_to_end
from .common import AnyPath, existing_rules, folder_of, leaf_files, pipelines_of, user_dirs
from .telling import LOGGER, LoggerHook, tell_unused

__all__ = ["DEPRECATED", "mix_datasets", "postprocess_taxonomy", "preprocess_taxonomy"]

CHUNK_WORDS = 1000
CONTEXT_SIZE = 4096
DEPRECATED = "use_legacy_pretraining_format has no effect, is deprecated, and will go; pass False"

_CACHE = "documents_cache"


def preprocess_taxonomy(
    taxonomy_dir: AnyPath,
    output_dir: AnyPath,
    chunk_word_count: int | None = CHUNK_WORDS,
    server_ctx_size: int | None = CONTEXT_SIZE,
    taxonomy_base: str | None = "empty",
    teacher_model_path: AnyPath | None = None,
    yaml_rules: AnyPath | None = None,
    test_output_file: AnyPath | None = None,
    system_prompt: str | None = None,
    *,
    allow_local_repos: bool = False,
) -> list[str]:
    """Write the samples of a taxonomy's leaf nodes.

    Args:
        taxonomy_dir: a folder, or one qna.yaml file.
        output_dir: one file for each leaf node comes here, documents below ``documents``.
        chunk_word_count: no effect: chunks have at most 500 tokens.
        server_ctx_size: no effect.
        taxonomy_base: ``empty`` for the whole taxonomy, or a git ref: then what has changed since.
        teacher_model_path: what counts tokens: a model's folder, a ``tokenizer.json`` or a GGUF file; they
            are estimated without. With it, and docling installed, chunks are upstream's.
        yaml_rules: a yamllint configuration; one that is not there stands for the default.
        test_output_file: where rows for testing go, if anywhere.
        system_prompt: of the rows for testing.
        allow_local_repos: documents may come from git repositories on this machine.

    Returns:
        The files of samples.

    Raises:
        GenerateException: with everything that is wrong with the taxonomy or its documents.
    """
    hook = LoggerHook(LOGGER)
    tell_unused(
        hook,
        chunk_word_count=(chunk_word_count, CHUNK_WORDS),
        server_ctx_size=(server_ctx_size, CONTEXT_SIZE),
    )
    with as_generate_exception():
        taxonomy = folder_of(taxonomy_dir, "taxonomy_dir")
        folder = folder_of(output_dir, "output_dir")
        rules = existing_rules(yaml_rules, hook)
        base = taxonomy_base or "empty"
        found = read_taxonomy(taxonomy, base, yaml_rules=rules, local_repos=allow_local_repos)
        for warning in found.warnings:
            hook.warn(str(warning))
        if not found.leaf_nodes:
            raise ConfigError(f"there are no new leaf nodes in the taxonomy {taxonomy}")
        chunker = _chunker(found, teacher_model_path)
        fetcher = Fetcher((folder / _CACHE).absolute(), local_repos=allow_local_repos)
        report = run_to_end(partial(_preprocess, found, folder, fetcher, chunker), hook.warn)
        for warning in report.warnings:
            hook.warn(str(warning))
        files = [folder / f"{leaf.name}.jsonl" for leaf in found.leaf_nodes]
        if test_output_file is not None:
            samples = chain.from_iterable(map(read_sound_rows, files))
            write_test_file(Path(test_output_file), samples, system_prompt)
        hook.info(f"the samples of {len(files):,} leaf nodes are in {folder}")
        return [str(file) for file in files]


def postprocess_taxonomy(
    input_dir: AnyPath,
    output_dir: AnyPath,
    date_suffix: str,
    pipeline: str | None = "simple",
    num_procs: int | None = 8,
    system_prompt: str | None = SYSTEM_PROMPT,
    use_legacy_pretraining_format: bool | None = True,
) -> None:
    """Make training files and recipes of a folder of generated rows; :func:`mix_datasets` mixes them.

    Args:
        input_dir: rows, as :func:`~sdg_stream.compat.leaves.generate_taxonomy` writes them.
        output_dir: made if it is not there.
        date_suffix: the end of all names.
        pipeline: whose auxiliary instructions are used.
        num_procs: no effect.
        system_prompt: for every row; None is the default one.
        use_legacy_pretraining_format: no effect; deprecated.

    Raises:
        GenerateException: something is wrong with the arguments or the files.
    """
    if use_legacy_pretraining_format:
        warnings.warn(DEPRECATED, DeprecationWarning, stacklevel=2)
    hook = LoggerHook(LOGGER)
    tell_unused(hook, num_procs=(num_procs, 8))
    with as_generate_exception():
        files = leaf_files(folder_of(input_dir, "input_dir"))
        training = TrainingFiles(
            made_folder(folder_of(output_dir, "output_dir")),
            part_of_a_name(date_suffix, "the date suffix"),
            system_prompt=SYSTEM_PROMPT if system_prompt is None else system_prompt,
            instructions=pipelines_of(pipeline).of("knowledge").auxiliary_instructions,
            data_dirs=user_dirs(),
            notice=hook.notice,
        )
        for leaf in files:
            training.add_leaf(leaf.file)
        training.write_legacy()
        training.write_recipes()


def mix_datasets(
    recipe_file: AnyPath, output_file: AnyPath, num_proc: int | None = 8, system_prompt: str | None = None
) -> None:
    """Write the mixed training file of a recipe; nothing if it lists no datasets.

    Args:
        recipe_file: paths in it are relative to it.
        output_file: it appears when it is complete.
        num_proc: no effect.
        system_prompt: for every row; None is the recipe's.

    Raises:
        GenerateException: something is wrong with recipe or datasets, or the file cannot be written.
    """
    hook = LoggerHook(LOGGER)
    tell_unused(hook, num_proc=(num_proc, 8))
    with as_generate_exception():
        recipe = load_recipe(Path(recipe_file))
        for warning in recipe.warnings:
            hook.warn(warning)
        if not recipe.datasets:
            hook.info(f"{recipe_file} lists no datasets: nothing is mixed")
            return
        report = mix(recipe, Path(output_file), system_prompt=system_prompt, notice=hook.notice)
        hook.info(f"{report.rows:,} rows in {output_file}")


def _chunker(found: Taxonomy, tokenizer: AnyPath | None) -> Chunker | None:
    """What cuts documents, if there are any."""
    if not any(isinstance(leaf, KnowledgeLeaf) for leaf in found.leaf_nodes):
        return None
    return make_chunker("auto", Path(tokenizer) if tokenizer is not None else None, data_dirs=user_dirs())


@in_own_task
async def _preprocess(
    found: Taxonomy, folder: Path, fetcher: Fetcher, chunker: Chunker | None
) -> Preprocessed:
    try:
        return await preprocess(found, folder, fetcher, chunker)
    finally:
        with anyio.CancelScope(shield=True):
            if chunker is not None:
                await chunker.aclose()
