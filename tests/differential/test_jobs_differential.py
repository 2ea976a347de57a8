"""sdg_stream against upstream: the whole job, from the same taxonomy to the same training files.

Upstream's files were recorded by ``record_jobs.py``, row by row as digests. Its own pipelines run here, and
the teacher says what it said there, so a prompt that differs in one byte shows as well.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from chunk_cases import write_model
from job_cases import (
    NUM_INSTRUCTIONS,
    PIPELINES,
    RECORDED,
    SUFFIX,
    SYSTEM_PROMPT,
    digest,
    is_benchmark,
    normal,
    write_taxonomy,
)
from ours import PROBES
from server import MODEL, from_transcript, serve
from server import digest as digest_of_prompt
from test_chunks_differential import is_installed
from wheel import files_or_skip

import sdg_stream
from sdg_stream.generation import generation, leaf_pipelines
from sdg_stream.generation.generation import Generation
from sdg_stream.generation.report import GenerationReport
from sdg_stream.taxonomy.documents import Document

FOUND: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
PROBED = 2
"""Prompts that upstream sends to learn what the server can do."""


class RecordedChunks:
    """Gives upstream's chunks: those of a leaf node come with its first document."""

    name = "as recorded"

    def __init__(self) -> None:
        self._left = {name: list(chunks) for name, chunks in FOUND["chunks"].items()}

    async def chunks(self, document: Document) -> AsyncGenerator[str, None]:
        """The chunks of a document."""
        leaf = document.file.parent.name
        left, self._left[leaf] = self._left[leaf], []
        for chunk in left:
            yield chunk

    async def aclose(self) -> None:
        """Nothing to end."""


@pytest.fixture(scope="module")
def upstream_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Upstream's pipelines and prompts, from the wheel that pip fetches."""
    return files_or_skip(pytestconfig, tmp_path_factory.mktemp("upstream"))


async def run_ours(folder: Path, upstream: Path, pipeline: str, **options: Any) -> GenerationReport:
    """Do the job as ``generate`` does, by upstream's pipelines."""
    transcript = {digest_of_prompt(prompt): ["", ""] for prompt in PROBES} | FOUND["transcript"]
    made = Generation.load(
        write_taxonomy(folder), folder / "out", pipeline=str(upstream / "pipelines" / pipeline),
        settings=sdg_stream.Settings(
            model_id=MODEL, model_family="mixtral", num_instructions=NUM_INSTRUCTIONS
        ),
        system_prompt=SYSTEM_PROMPT, date_suffix=SUFFIX, local_repos=True, **options,
    )  # fmt: skip
    async with (
        serve(from_transcript(transcript)) as url,
        sdg_stream.connect(url, model=MODEL, concurrency=8, max_attempts=2) as teacher,
    ):
        return await made.run(teacher)


def compare(folder: Path, upstream: Path, pipeline: str) -> None:
    """All files are there, and each row of each file is upstream's."""
    ours, theirs = normal(folder, upstream / "pipelines" / pipeline), FOUND["jobs"][pipeline]["files"]
    assert ours.keys() == theirs.keys()
    for name, content in ours.items():
        rows, digests = (content, theirs[name]) if isinstance(content, list) else ([content], [theirs[name]])
        others = [row for row in rows if digest(row) not in digests]
        assert not others, (
            f"{name}: {len(others)} of {len(rows)} rows are not upstream's, such as {others[0]}"
        )
        assert [digest(row) for row in rows] == digests, f"{name}: rows are missing, or in another order"


def check_benchmarks(folder: Path) -> None:
    """Q-EVAL-1: answers are numbered by the alphabet."""
    for file in (folder / "out" / f"node_datasets_{SUFFIX}").glob("mmlubench_*.jsonl"):
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            assert row["mmlubench_answer"].startswith(f"{'ABCD'[row['answer']]})")


@pytest.mark.anyio
@pytest.mark.parametrize("pipeline", PIPELINES)
async def test_files_of_a_job_are_upstreams(
    pipeline: str, tmp_path: Path, upstream_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows in all files, made of the chunks that upstream made; nothing greedy is asked twice."""
    benchmark = upstream_folder / "pipelines" / "eval" / "mmlu_bench.yaml"
    monkeypatch.setattr(leaf_pipelines, "BENCHMARK", str(benchmark))
    monkeypatch.setattr(generation, "make_chunker", lambda *_args, **_more: RecordedChunks())
    report = await run_ours(tmp_path, upstream_folder, pipeline)
    assert report.failed == ()
    assert report.run.rejects == 0
    compare(tmp_path, upstream_folder, pipeline)
    prompts = FOUND["jobs"][pipeline]["asked"]["prompts"] - PROBED
    assert sum(block.records_in for block in report.run.blocks if block.type == "LLMBlock") == prompts
    assert report.run.teacher is not None
    assert report.run.teacher.calls == prompts
    assert report.run.teacher.attempts == prompts - report.run.teacher.saved_calls
    assert report.run.teacher.attempts <= prompts * (1.0 if pipeline == "simple" else 0.95)
    check_benchmarks(tmp_path)


@pytest.mark.anyio
@pytest.mark.skipif(not is_installed(), reason="needs docling as upstream's chunks were recorded with")
async def test_documents_give_upstreams_files_with_docling(
    tmp_path: Path, upstream_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is fed: the documents are cut here, too."""
    benchmark = upstream_folder / "pipelines" / "eval" / "mmlu_bench.yaml"
    monkeypatch.setattr(leaf_pipelines, "BENCHMARK", str(benchmark))
    model = write_model(tmp_path / "model")
    report = await run_ours(tmp_path, upstream_folder, "simple", chunker="docling", tokenizer=model)
    assert report.failed == ()
    compare(tmp_path, upstream_folder, "simple")


def test_a_job_has_what_is_compared() -> None:
    """Several chunks, questions in every benchmark, and auxiliary rows of pipelines that make such."""
    assert {len(chunks) for chunks in FOUND["chunks"].values()} == {1, 4}
    for pipeline, job in FOUND["jobs"].items():
        files = job["files"]
        assert all(files[name] for name in files if is_benchmark(name))
        p07 = files[f"node_datasets_{SUFFIX}/knowledge_science_tides_p07.jsonl"]
        made = files[f"generated_{SUFFIX}/knowledge_science_tides.jsonl"]
        assert (len(p07) > len(made)) == (pipeline != "simple")
