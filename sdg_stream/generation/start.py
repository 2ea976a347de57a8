"""One start of a job, whether it is the first or one that goes on."""

from __future__ import annotations

import traceback
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from anyio.from_thread import run_sync as on_loop
from anyio.to_thread import run_sync as in_thread

from ..abc import Teacher
from ..events import EventHook, Notice, RunReport
from ..io.iterables import IterableSource
from ..mixing.benchmark import write_benchmark
from ..mixing.row_files import read_sound_rows
from ..mixing.training_files import LeafFiles, TrainingFiles, write_test_file
from ..mixing.whole_file import WholeFile
from ..record import Columns
from ..state.fingerprint import digest
from ..taxonomy.clones import Fetcher
from ..taxonomy.documents import LeafDocuments, fetch_all
from ..taxonomy.leaf import KnowledgeLeaf, LeafNode
from ..taxonomy.preprocess import write_chunker
from ..taxonomy.samples import samples
from ..taxonomy.samples_file import SamplesFile
from .job_file import Job, JobFile
from .leaf_runs import LeafRuns, LeafWork, is_bug, told
from .prepared import Prepared, facts_of
from .report import GenerationReport, LeafReport
from .together import Together

__all__ = ["Start"]


class Start:
    """One start of a job: from documents to training files. Making one blocks.

    Raises:
        ConfigError: a default recipe has mistakes.
    """

    def __init__(
        self,
        prepared: Prepared,
        job: Job,
        teacher: Teacher | None,
        hook: EventHook | None,
    ) -> None:
        self._prepared = prepared
        self._options = prepared.options
        self._leaves = {leaf.name: leaf for leaf in prepared.taxonomy.leaf_nodes}
        self._job = job
        keep = prepared.options.keep
        before = job.before
        edited = keep.edited or (before is not None and before.edited and not before.finished)
        self._keep = msgspec.structs.replace(keep, edited=edited)
        self._content = JobFile(facts=facts_of(prepared, teacher), command=keep.command, edited=edited)
        self._teacher = teacher
        report = getattr(teacher, "report", lambda: None)
        self._together = Together(f"generate {prepared.pipelines.name}", str(job.output_dir), report, hook)
        self._used: dict[str, LeafFiles] = {}
        self._benchmarks: dict[str, int] = {}
        self._samples: dict[str, SamplesFile] = {}
        self._files = self._training_files()

    async def run(self) -> GenerationReport:
        """Do what is left to do; the lock is held.

        Raises:
            ConfigError, RunStateError, TeacherUnusable, OutputError: as :meth:`.generation.Generation.run`.
        """
        await in_thread(self._begin)
        folder = self._job.path("preprocessed")
        self._samples = {name: SamplesFile(folder / f"{name}.jsonl") for name in self._leaves}
        documents = await self._documents()
        leaves, samples = self._leaves.values(), sum(file.whole for file in self._samples.values())
        self._together.begin(
            (f"{len(leaves)} leaf nodes, the samples of {samples} are ready",), self._prepared.source
        )
        runs = LeafRuns(
            self._prepared.pipelines,
            self._teacher,
            keep=self._keep,
            together=self._together,
            at_once=self._options.at_once,
            rows_done=self._rows_done,
            benchmark_done=self._benchmark_done,
        )
        await runs.run([self._work(leaf, documents.get(leaf.name)) for leaf in leaves])
        files = await self._finish(runs)
        report = self._report(runs, files)
        await in_thread(self._save, {"report": report})
        return report

    # ------------------------------------------------------------ before the runs

    def _begin(self) -> None:
        """Remember what is wanted; what an accepted change makes stale goes first."""
        before = self._job.before
        commits = dict(before.commits) if before is not None else {}
        if before is not None:
            was, now = before.facts["leaf nodes"], self._content.facts["leaf nodes"]
            for name in was.keys() | now.keys():
                if was.get(name) != now.get(name):
                    commits.pop(name, None)
                    (self._job.path("preprocessed") / f"{name}.jsonl").unlink(missing_ok=True)
            for name in sorted(was.keys() - now.keys()):
                words = f"{name} is no leaf node any more; its files stay, and are not used"
                self._notice("leaf_gone", words)
        for name in self._leaves:
            generated = self._generated(name)
            if generated.with_name(f"{generated.name}.run").exists():
                generated.touch()  # an empty one is removed when a job is finished
        self._save({"commits": commits})
        if before is not None:
            self._notice("going_on", f"going on with the job of {self._job.suffix}", level="info")

    async def _documents(self) -> Mapping[str, LeafDocuments]:
        """The documents of all leaf nodes whose samples are not there yet, of the commits taken before."""
        commits = self._content.commits
        wanted = [
            _pinned(leaf, commits.get(leaf.name))
            for leaf in self._leaves.values()
            if isinstance(leaf, KnowledgeLeaf) and not self._samples[leaf.name].whole
        ]
        if not wanted:
            return {}
        cache = self._options.documents_cache or self._job.output_dir / "documents"
        fetcher = Fetcher(cache.absolute(), local_repos=self._options.local_repos)
        chunker = self._prepared.chunker
        if chunker is not None:
            await in_thread(write_chunker, self._job.path("preprocessed"), chunker.name)
        fetched = await fetch_all(wanted, fetcher, self._job.path("preprocessed") / "documents")
        taken = {name: found.commit for name, found in fetched.items()}
        await in_thread(self._save, {"commits": {**commits, **taken}})
        for found in fetched.values():
            for warning in found.warnings:
                self._together.tell(Notice(code="documents", level="warning", message=str(warning)))
        return fetched

    def _work(self, leaf: LeafNode, documents: LeafDocuments | None) -> LeafWork:
        file = self._samples[leaf.name]
        chunker = self._prepared.chunker

        def rows() -> AsyncGenerator[Columns, None]:
            return samples(leaf, documents.documents if documents is not None else (), chunker)

        identity = digest(self._content.facts["leaf nodes"][leaf.name])
        knowledge = isinstance(leaf, KnowledgeLeaf)
        return LeafWork(
            name=leaf.name,
            kind=leaf.kind,
            source=lambda: IterableSource(file.rows(), name=str(file.file), identity=identity),
            rows=self._generated(leaf.name),
            benchmark=self._job.benchmark / f"{leaf.name}.jsonl" if knowledge else None,
            samples=(file, rows),
        )

    # ------------------------------------------------------------ behind each run

    async def _rows_done(self, work: LeafWork, report: RunReport) -> None:
        if report.rows:
            add = partial(
                self._files.add_leaf,
                self._generated(work.name),
                leaf=work.name,
                knowledge=work.kind == "knowledge",
            )
            self._used[work.name] = await in_thread(add)

    async def _benchmark_done(self, work: LeafWork, _report: RunReport) -> None:
        if work.benchmark is not None:
            found, folder = read_sound_rows(work.benchmark), self._job.output_dir
            written = await in_thread(write_benchmark, found, work.name, folder, self._job.suffix)
            self._benchmarks[work.name] = written.rows

    # ------------------------------------------------------------ behind all runs

    async def _finish(self, runs: LeafRuns) -> list[str]:
        """The files of all leaf nodes that have come to their end; their names."""
        suffix, files = self._job.suffix, self._files
        whole = [file.file for _, file in sorted(self._samples.items()) if file.whole]
        test = self._job.output_dir / f"test_{suffix}.jsonl"
        rows = chain.from_iterable(map(read_sound_rows, whole))
        await in_thread(write_test_file, test, rows, self._prepared.system_prompt)
        await in_thread(files.write_legacy)
        await in_thread(files.write_recipes)
        mixed = await in_thread(files.mix, abandon_on_cancel=True)
        await in_thread(self._remove_empty, runs)
        await in_thread(self._write_tracebacks, runs)
        names = [f"{kind}_train_msgs_{suffix}.jsonl" for kind in mixed]
        kinds = ("knowledge", "skills")
        return [
            test.name,
            f"train_{suffix}.jsonl",
            f"messages_{suffix}.jsonl",
            *(f"{kind}_recipe_{suffix}.yaml" for kind in kinds),
            *names,
        ]

    def _remove_empty(self, runs: LeafRuns) -> None:
        empty = sorted(name for name, report in runs.reports.items() if not report.rows)
        for name in self._leaves:
            with suppress(FileNotFoundError):
                if not self._generated(name).stat().st_size:
                    self._generated(name).unlink()
        if empty:
            words = f"leaf nodes without a single row: {', '.join(empty)}"
            self._notice("empty_leaf", words)

    def _write_tracebacks(self, runs: LeafRuns) -> None:
        """What bugs in blocks leave for those who mend them."""
        bugs = [error for errors in runs.errors.values() for error in errors if is_bug(error)]
        if bugs:
            file = self._job.folder / "bugs.txt"
            with WholeFile(file) as written:
                for bug in bugs:
                    written.write("".join(traceback.format_exception(bug)).encode("utf-8", "replace"))
            self._notice("bugs", f"{len(bugs)} bugs in blocks, with their tracebacks, in {file}")

    def _report(self, runs: LeafRuns, files: list[str]) -> GenerationReport:
        chunker = self._prepared.chunker
        return GenerationReport(
            date_suffix=self._job.suffix,
            output_dir=str(self._job.output_dir),
            leaves=tuple(self._leaf_report(leaf, runs) for _, leaf in sorted(self._leaves.items())),
            run=self._together.end(),
            chunker=chunker.name if chunker is not None else "",
            files=tuple(files),
        )

    def _leaf_report(self, leaf: LeafNode, runs: LeafRuns) -> LeafReport:
        run, used = runs.reports.get(leaf.name), self._used.get(leaf.name)
        errors = runs.errors.get(leaf.name, ())
        return LeafReport(
            name=leaf.name,
            kind=leaf.kind,
            samples=run.roots if run is not None else 0,
            rows=run.rows if run is not None else 0,
            used=used.rows if used is not None else 0,
            rejects=run.rejects if run is not None else 0,
            benchmark=self._benchmarks.get(leaf.name),
            left_out=used.left_out if used is not None else {},
            error="; ".join(map(told, errors)),
        )

    # ------------------------------------------------------------

    def _training_files(self) -> TrainingFiles:
        options = self._options
        return TrainingFiles(
            self._job.output_dir,
            self._job.suffix,
            system_prompt=self._prepared.system_prompt,
            instructions=self._prepared.pipelines.of("knowledge").auxiliary_instructions,
            data_dirs=options.data_dirs,
            seed=options.seed,
            replacement=options.replacement,
            notice=self._notice,
        )

    def _notice(self, code: str, words: str, *, level: str = "warning") -> None:
        """Tell something from a worker thread."""
        on_loop(self._together.tell, Notice(code=code, level=level, message=words))

    def _generated(self, name: str) -> Path:
        return self._job.path("generated") / f"{name}.jsonl"

    def _save(self, changes: dict[str, Any]) -> None:
        self._content = msgspec.structs.replace(self._content, **changes)
        self._job.save(self._content)


def _pinned(leaf: KnowledgeLeaf, commit: str | None) -> KnowledgeLeaf:
    """The leaf node with the commit that was taken before: a branch may have moved on."""
    if commit is None:
        return leaf
    return msgspec.structs.replace(leaf, source=msgspec.structs.replace(leaf.source, commit=commit))
