"""The options of bench: what excludes what, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from sample_bench import report

from sdg_stream.cli import bench_job
from sdg_stream.cli.app import app
from sdg_stream.loadtest.bench import FilePrompts, PipelinePrompts
from sdg_stream.loadtest.files import as_json
from sdg_stream.loadtest.synthetic import TokenShape

SEEDS = Path(__file__).parents[3] / "pipelines" / "examples" / "seeds"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[bench_job.BenchJob]:
    """What would have been measured."""
    found: list[bench_job.BenchJob] = []

    def perform(job: bench_job.BenchJob, _key: str | None) -> int:
        found.append(job)
        return 0

    monkeypatch.setattr(bench_job, "perform", perform)
    return found


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--concurrency", "8,x"], "'8,x' is no list of numbers"),
        (["--concurrency", "0"], "no list of numbers of at least 1"),
        (["--simulate", "--endpoint-url", "http://h/v1"], "--simulate and --endpoint-url exclude"),
        (["--simulate", "--serve", "vllm"], "--simulate and --serve exclude"),
        (["--prompts", "a", "--pipeline", "b"], "--prompts and --pipeline exclude"),
        (["--input", "a"], "--input needs --pipeline"),
        (["--shared-prefix", "600"], "--shared-prefix is a part of --prompt-tokens"),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_mistakes_are_usage(jobs: list[bench_job.BenchJob], typed: list[str], words: str) -> None:
    """Exit 2 with the way out, and nothing is measured."""
    result = CliRunner().invoke(app, ["bench", *typed])
    assert result.exit_code == 2
    assert words in result.stderr
    assert not jobs


def test_levels_are_numbers_in_order(jobs: list[bench_job.BenchJob]) -> None:
    """Each once."""
    CliRunner().invoke(app, ["bench", "--concurrency", "64,1,8,8"])
    assert jobs[0].levels == (1, 8, 64)


def test_prompts_come_from_where_they_were_named(jobs: list[bench_job.BenchJob]) -> None:
    """Synthetic by default; a file; a pipeline over rows, its sample seeds where none are named."""
    runner = CliRunner()
    for typed in (
        ["--prompt-tokens", "9", "--output-tokens", "5", "--shared-prefix", "3"],
        ["--prompts", "p.jsonl"],
        ["--pipeline", "full/knowledge", "--input", "rows.jsonl"],
        ["--pipeline", "full/knowledge"],
    ):
        result = runner.invoke(app, ["bench", "--model-id", "m", "--model-family", "mixtral", *typed])
        assert result.exit_code == 0, result.output
    size, file, rows, seeds = (bench_job._prompts(job) for job in jobs)
    assert size == TokenShape(prompt=9, output=5, shared=3)
    assert file == FilePrompts(file=Path("p.jsonl"), max_tokens=128)
    assert isinstance(rows, PipelinePrompts)
    assert rows.rows == Path("rows.jsonl")
    assert isinstance(seeds, PipelinePrompts)
    assert seeds.rows.resolve() == SEEDS / "knowledge.jsonl"


def test_the_command_is_kept_without_its_key(
    jobs: list[bench_job.BenchJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as an option's value nor in a proxy's URL."""
    words = ["bench", "--api-key", "sk", "--proxy", "http://u:pw@h:1", "--repeat", "2"]
    monkeypatch.setattr("sys.argv", ["sdg-stream", *words])
    CliRunner().invoke(app, words)
    assert jobs[0].command == "bench --proxy http://[redacted]@h:1 --repeat 2" or (
        jobs[0].command == "bench --proxy 'http://[redacted]@h:1' --repeat 2"
    )


def test_compare_shows_ratios(tmp_path: Path) -> None:
    """Of two files; something else is a mistake in usage."""
    (tmp_path / "a.json").write_bytes(as_json(report()))
    (tmp_path / "b.json").write_bytes(as_json(msgspec.structs.replace(report(), date="later")))
    runner = CliRunner()
    result = runner.invoke(app, ["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert result.exit_code == 0
    assert "B / A" in result.stdout
    (tmp_path / "b.json").write_text("{}")
    result = runner.invoke(app, ["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert result.exit_code == 2
    assert "was not written by bench" in result.stderr
