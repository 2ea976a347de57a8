"""Upstream's steps that ask the teacher: rows, and benchmarks, of folders of samples."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync as in_thread

from ..durable import in_own_task
from ..errors import ConfigError, GenerateException, Problem
from ..events import RunReport
from ..generation.job_file import Job
from ..generation.leaf_pipelines import LeafPipelines
from ..generation.leaf_runs import LeafRuns, LeafWork, told
from ..generation.report import GenerationOptions
from ..generation.together import Together
from ..io.folders import made_folder
from ..mixing.benchmark import write_benchmark
from ..mixing.names import part_of_a_name
from ..mixing.row_files import read_sound_rows
from ..pipeline import Pipeline
from ..state.directory import RunDirectory
from ..state.keep import Keep
from ..teacher.client import TeacherClient
from .calling import as_generate_exception, run_to_end
from .client import connection
from .common import AnyPath, LeafFile, folder_of, leaf_files, pipelines_of
from .telling import LOGGER, LoggerHook, tell_unused

__all__ = ["generate_taxonomy", "generate_taxonomy_eval", "tell_checkpoints"]

_KEEP = Keep(edited=True)  # what was answered before is used, whatever has changed
_AT_ONCE = GenerationOptions().at_once
_CHECKPOINTS = "**/data_checkpoint_*.jsonl"


def generate_taxonomy(  # noqa: PLR0917 -- upstream's arguments in upstream's order
    client: Any,
    input_dir: AnyPath,
    output_dir: AnyPath,
    logger: logging.Logger = LOGGER,
    model_family: str | None = None,
    model_id: str | None = None,
    num_cpus: int | None = None,
    num_instructions_to_generate: int | None = 30,
    console_output: bool = True,
    pipeline: str | None = "simple",
    batch_size: int | None = None,
    checkpoint_dir: AnyPath | None = None,
    max_num_tokens: int | None = 4096,
) -> None:
    """Run the pipelines over every ``*.jsonl`` file of a folder of samples, all at once on one teacher.

    The first sample's ``leaf_node_type`` chooses the pipeline. A file's rows go to the file of the same name
    in ``output_dir``; where none were accepted there is no file. Called again it asks only what it has no
    answer to, whether it was stopped or the samples or pipelines have changed.

    Args:
        client: an ``openai.OpenAI`` object, or anything with ``base_url`` and ``api_key``.
        input_dir: samples, as :func:`~sdg_stream.compat.rows.preprocess_taxonomy` writes them.
        output_dir: made if it is not there.
        logger: told how it goes.
        model_family: chat template family; by default as the pipelines say.
        model_id: the model to ask; None takes the only one that the server lists.
        num_cpus: no effect.
        num_instructions_to_generate: what ``n: scaled`` stands for in pipelines.
        console_output: False logs warnings only.
        pipeline: ``simple``, ``full``, ``llama``, a name in the data directories, or a folder.
        batch_size: no effect.
        checkpoint_dir: no effect: going on needs none.
        max_num_tokens: ``max_tokens`` of the blocks named ``gen_knowledge``, unless it is 4096.

    Raises:
        GenerateException: something is wrong with the arguments, the files or the teacher, or with single
            leaf nodes; the others have come to their end then.
    """
    hook = LoggerHook(logger, quiet=not console_output)
    tell_unused(hook, num_cpus=(num_cpus, None), batch_size=(batch_size, None))
    with as_generate_exception():
        tell_checkpoints(hook, checkpoint_dir)
        teacher, files = connection(client, model_id, hook), leaf_files(folder_of(input_dir, "input_dir"))
        pipelines = pipelines_of(
            pipeline,
            hook,
            model_id=model_id,
            model_family=model_family,
            num_instructions=num_instructions_to_generate,
            max_num_tokens=max_num_tokens,
        )
        _check((leaf, pipelines.of(leaf.kind)) for leaf in files)
        folder = made_folder(folder_of(output_dir, "output_dir"))
        work = [_rows_of(leaf, folder) for leaf in files]
        runs = run_to_end(partial(_run, work, pipelines, teacher, folder, hook), hook.warn)
        _remove_empty(files, folder, runs, hook)
        _raise_failures(runs)
        rows = sum(report.rows for report in runs.reports.values())
        hook.info(f"{rows:,} rows of {len(files):,} leaf nodes in {folder}")


def generate_taxonomy_eval(
    client: Any,
    input_dir: AnyPath,
    output_dir: AnyPath,
    date_suffix: str,
    model_family: str | None = None,
    model_id: str | None = None,
    num_cpus: int | None = None,
    num_instructions_to_generate: int | None = 30,
    batch_size: int | None = None,
    max_num_tokens: int | None = 4096,
) -> None:
    """Make the benchmarks of the knowledge leaf nodes in a folder of samples, for lm-eval.

    They go to ``node_datasets_<date_suffix>`` in ``output_dir``, two files for each leaf node; the rows that
    they are made of are kept in ``generate_<date_suffix>.run`` there, so that nothing is asked twice. The
    other arguments are those of :func:`generate_taxonomy`.

    Raises:
        GenerateException: as :func:`generate_taxonomy`.
    """
    hook = LoggerHook(LOGGER)
    tell_unused(hook, num_cpus=(num_cpus, None), batch_size=(batch_size, None))
    with as_generate_exception():
        part_of_a_name(date_suffix, "the date suffix")
        teacher, found = connection(client, model_id, hook), leaf_files(folder_of(input_dir, "input_dir"))
        files = [one for one in found if one.kind == "knowledge"]
        _check_names(files)
        pipelines = pipelines_of(
            "simple",
            hook,
            model_id=model_id,
            model_family=model_family,
            num_instructions=num_instructions_to_generate,
            max_num_tokens=max_num_tokens,
        )
        _check((leaf, pipelines.benchmark) for leaf in files)
        folder = made_folder(folder_of(output_dir, "output_dir"))
        rows = made_folder(Job(folder, date_suffix).benchmark) if files else folder
        work = [_benchmark_of(leaf, rows) for leaf in files]

        async def done(one: LeafWork, _report: RunReport) -> None:
            found = read_sound_rows(rows / f"{one.name}.jsonl")
            await in_thread(write_benchmark, found, one.name, folder, date_suffix)

        job = partial(_run, work, pipelines, teacher, folder, hook, benchmark_done=done)
        _raise_failures(run_to_end(job, hook.warn))


def tell_checkpoints(hook: LoggerHook, checkpoint_dir: AnyPath | None) -> None:
    """Say what can become of upstream's checkpoints, if there are any."""
    if checkpoint_dir is not None and any(Path(checkpoint_dir).glob(_CHECKPOINTS)):
        hook.warn(
            f"{checkpoint_dir} holds checkpoints of InstructLab's library, which are not read here: 'python"
            " -m sdg_stream run' takes over those of a leaf node by --import-checkpoint"
        )


@in_own_task
async def _run(
    work: Sequence[LeafWork],
    pipelines: LeafPipelines,
    connected: AbstractAsyncContextManager[TeacherClient],
    output: Path,
    hook: LoggerHook,
    **more: Any,
) -> LeafRuns:
    """Do the work; with none nobody is asked."""
    async with connected if work else nullcontext() as teacher:
        account = teacher.report if teacher is not None else lambda: None
        together = Together(f"generate {pipelines.name}", str(output), account, hook)
        runs = LeafRuns(pipelines, teacher, keep=_KEEP, together=together, at_once=_AT_ONCE, **more)
        await runs.run(work)
    return runs


def _rows_of(leaf: LeafFile, folder: Path) -> LeafWork:
    output = folder / leaf.file.name
    if RunDirectory(output).folder.exists():
        output.touch()  # an empty one was removed in the end
    return LeafWork(name=leaf.file.stem, kind=leaf.kind, source=partial(Path, leaf.file), rows=output)


def _benchmark_of(leaf: LeafFile, folder: Path) -> LeafWork:
    rows = folder / f"{leaf.leaf}.jsonl"
    return LeafWork(name=leaf.leaf, kind=leaf.kind, source=partial(Path, leaf.file), benchmark=rows)


def _remove_empty(files: Sequence[LeafFile], folder: Path, runs: LeafRuns, hook: LoggerHook) -> None:
    """Take files away that got no row, and say of which input files that is."""
    reports = ((leaf.file, runs.reports.get(leaf.file.stem)) for leaf in files)
    empty = [file for file, report in reports if report is not None and not report.rows]
    for file in empty:
        (folder / file.name).unlink(missing_ok=True)
    if empty:
        hook.warn(f"input files of which no row was accepted: {' '.join(map(str, empty))}")


def _check(work: Iterable[tuple[LeafFile, Pipeline]]) -> None:
    """Hold the columns of samples against what the pipelines need, before anything is asked.

    Raises:
        ConfigError: they do not fit.
    """
    problems: list[Problem] = []
    for leaf, pipeline in work:
        if found := pipeline.check(leaf.columns):
            words = f"its first row has: {', '.join(leaf.columns)}"
            problems += [*found, Problem(file=str(leaf.file), message=words)]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _check_names(files: Sequence[LeafFile]) -> None:
    """Raise a ConfigError if two files are of one leaf node, or its name cannot be a file's."""
    for name, count in Counter(leaf.leaf for leaf in files).items():
        part_of_a_name(name, "leaf_node_path")
        if count > 1:
            raise ConfigError(f"{count} of the input files are of one leaf node, {name!r}")


def _raise_failures(runs: LeafRuns) -> None:
    """Raise a GenerateException if leaf nodes have not come to their end."""
    if runs.errors:
        failed = [f"{name}: {'; '.join(map(told, errors))}" for name, errors in sorted(runs.errors.items())]
        first = next(iter(runs.errors.values()))[0]
        words = (
            "leaf nodes that did not come to their end; the others did, and the same call tries these again"
        )
        raise GenerateException("\n  ".join([f"{words}:", *failed])) from first
