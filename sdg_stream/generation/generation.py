"""A taxonomy made into training data: read and checked, then everything streaming on one teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import msgspec
from anyio.to_thread import run_sync as in_thread

from ..abc import Teacher
from ..durable import in_own_task
from ..errors import ConfigError
from ..events import EventHook, Notice
from ..taxonomy.chunkers import make_chunker
from ..taxonomy.leaf import KnowledgeLeaf, Taxonomy
from ..taxonomy.reading import read_taxonomy
from ..taxonomy.samples import columns_of
from .job_file import Job, choose
from .leaf_pipelines import load_pipelines
from .prepared import Prepared, facts_of
from .report import GenerationOptions, GenerationReport
from .start import Start

__all__ = ["Generation"]


class Generation:
    """A taxonomy, checked, and what is to become of it. Make one with :meth:`load`."""

    def __init__(self, prepared: Prepared, output_dir: Path, hook: EventHook | None) -> None:
        self.output_dir = output_dir
        self._prepared = prepared
        self._hook = hook

    @classmethod
    def load(
        cls,
        taxonomy: str | Path,
        output_dir: str | Path,
        options: GenerationOptions | None = None,
        *,
        hook: EventHook | None = None,
        **fields: Any,
    ) -> Generation:
        """Read a taxonomy and its pipelines; blocks.

        Args:
            taxonomy: a folder, or one qna.yaml file.
            output_dir: where all files go; made if it is not there.
            options: how it is done.
            hook: told of what is odd, here and when it runs.
            fields: those of ``options``, one by one, such as ``pipeline="full"``.

        Raises:
            ConfigError: with all mistakes found in either; nothing was fetched or asked then.
        """
        options = msgspec.structs.replace(options or GenerationOptions(), **fields)
        pipelines = load_pipelines(
            options.pipeline,
            options.settings,
            data_dirs=options.data_dirs,
            plugins=options.plugins,
            allow_paths=options.allow_paths,
            hook=hook,
        )
        found = read_taxonomy(
            Path(taxonomy),
            options.taxonomy_base,
            yaml_rules=options.yaml_rules,
            local_repos=options.local_repos,
        )
        _warn(hook, found)
        if not found.leaf_nodes:
            raise ConfigError(_no_leaves(str(taxonomy), options.taxonomy_base))
        inputs = dict.fromkeys((leaf.kind, tuple(columns_of(leaf))) for leaf in found.leaf_nodes)
        problems = [problem for kind, columns in inputs for problem in pipelines.of(kind).check(columns)]
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))
        has_knowledge = any(isinstance(leaf, KnowledgeLeaf) for leaf in found.leaf_nodes)
        chunker = (
            make_chunker(
                options.chunker,
                options.tokenizer,
                options.chunk_tokens,
                docling_models=options.docling_models,
                data_dirs=options.data_dirs,
            )
            if has_knowledge
            else None
        )
        prepared = Prepared(
            source=str(taxonomy), taxonomy=found, options=options, pipelines=pipelines, chunker=chunker
        )
        return cls(prepared, Path(output_dir), hook)

    @property
    def taxonomy(self) -> Taxonomy:
        """The leaf nodes."""
        return self._prepared.taxonomy

    def look(self) -> GenerationReport | None:
        """See what :meth:`run` would refuse about earlier files, before a teacher is connected.

        Returns:
            The account of a finished job, if there is nothing left to do.

        Raises:
            RunStateError: an unfinished job was begun with something else.
        """
        return self._nothing_left(self._choose(None))

    @in_own_task
    async def run(self, teacher: Teacher | None, *, hook: EventHook | None = None) -> GenerationReport:
        """Make everything: samples, rows, benchmarks, training files.

        It can be stopped, or killed, and goes on when it is called again. A leaf node that fails does not
        stop the others; the report tells which did, and calling it again tries those again.

        Args:
            teacher: from :func:`~sdg_stream.teacher.connect.connect`.
            hook: told of events: those of all runs together as if they were one.

        Raises:
            ConfigError: documents cannot be fetched; nothing was asked.
            RunStateError: an unfinished job was begun with something else, or another process works on it.
            TeacherUnusable, OutputError: nothing can go on; what was settled is kept.
        """
        hook = hook or self._hook
        job = await in_thread(self._choose, teacher)
        finished = self._nothing_left(job)
        if finished is not None:
            return finished
        lock = await in_thread(job.open)
        try:
            job = await in_thread(self._choose, teacher, job)  # another process may have worked on it
            finished = self._nothing_left(job)
            if finished is not None:
                return finished
            start = await in_thread(Start, self._prepared, job, teacher, hook)
            return await start.run()
        finally:
            with anyio.CancelScope(shield=True):
                if self._prepared.chunker is not None:
                    await self._prepared.chunker.aclose()
            lock.release()

    def _choose(self, teacher: Teacher | None, chosen: Job | None = None) -> Job:
        """The job to work on; again, once it is ours alone, the same one as it is then."""
        options = self._prepared.options
        if chosen is not None and chosen.before is None:
            return chosen
        suffix = options.date_suffix if chosen is None else chosen.suffix
        facts = facts_of(self._prepared, teacher)
        return choose(self.output_dir, suffix, facts, options.keep, another=options.another)

    def _nothing_left(self, job: Job) -> GenerationReport | None:
        before, retry = job.before, self._prepared.options.keep.retry_rejected
        if before is None or before.report is None or not before.finished or job.changed or retry:
            return None
        here = str(self.output_dir)  # which may have been moved
        run = msgspec.structs.replace(before.report.run, output=here)
        return msgspec.structs.replace(before.report, run=run, finished_before=True, output_dir=here)


def _warn(hook: EventHook | None, taxonomy: Taxonomy) -> None:
    if hook is not None:
        for warning in taxonomy.warnings:
            hook(Notice(code="taxonomy", level="warning", message=str(warning)))


def _no_leaves(taxonomy: str, base: str) -> str:
    if base == "empty":
        return f"{taxonomy}: no leaf nodes: there is no qna.yaml below compositional_skills or knowledge"
    return f"{taxonomy}: no leaf node has changed since {base!r}"
