"""``bench --pipeline`` as a user types it, against simulated teachers in processes of their own."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest
from canary import CANARY
from command_line import COMMAND, PROMPT, Lines, environment, sdg
from test_bench_command import QUICK, teacher

pytestmark = pytest.mark.anyio

PIPELINE = """\
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config:
      config_path: prompt.yaml
      output_cols: [answer]
      gen_kwargs: {max_tokens: 64, temperature: 0.7}
  - name: even
    type: FilterByValueBlock
    config: {filter_column: even, filter_value: 1, operation: eq}
  - name: again
    type: LLMBlock
    config:
      config_path: prompt.yaml
      output_cols: [second]
      gen_kwargs: {max_tokens: 64}
"""


def write_project(folder: Path, rows: int) -> None:
    """A pipeline of two calls, between which every other row is filtered, and its input."""
    (folder / "prompt.yaml").write_text(PROMPT)
    (folder / "p.yaml").write_text(PIPELINE)
    lines = [f'{{"topic": "topic {n}", "even": {1 - n % 2}}}\n' for n in range(rows)]
    (folder / "in.jsonl").write_text("".join(lines))


async def test_a_pipeline_is_measured_on_its_server(tmp_path: Path) -> None:
    """Level, run and plain loop at one concurrency; counts agree with what must come of the rows."""
    write_project(tmp_path, rows=120)
    (tmp_path / "runs").mkdir()
    files = ("--json", "b.json", "--html", "b.html", "--output-dir", "runs")
    size = ("--concurrency", "8", "--project", "1200", "--gpus", "2")
    async with teacher(tmp_path, "--slots", "8", "--latency", "fixed", "--latency-seconds", "0.05") as url:
        common = ("bench", "--endpoint-url", url, *QUICK, "--model-family", "mixtral", *size, *files)
        done = await sdg(tmp_path, *common, "--pipeline", "p.yaml", "--input", "in.jsonl")
    assert done.returncode == 0, done.stderr
    run: dict[str, Any] = json.loads((tmp_path / "b.json").read_text())["pipeline"]
    assert run["roots"] == run["accepted"] + run["filtered"]
    assert run["calls"] == run["roots"] + run["accepted"]
    assert run["projection"]["rows"]["value"] == pytest.approx(600, rel=0.1)
    assert run["idle"]["fraction"] == pytest.approx(
        sum(share for name, share in run["idle"].items() if name != "fraction")
    )
    assert run["ceiling"]["plain"]["concurrency"] == 8
    assert run["prefix_hits"] is not None
    for words in ("accepted rows", "of the ceiling", "teacher idle", "drain tail", "for 1,200 input rows"):
        assert words in done.stdout
    assert "The pipeline itself" in (tmp_path / "b.html").read_text()
    assert list((tmp_path / "runs").iterdir()) == []
    assert CANARY not in "".join(file.read_text() for file in tmp_path.iterdir() if file.is_file())
    compared = await sdg(tmp_path, "bench", "compare", "b.json", "b.json")
    assert "the pipeline itself" in compared.stdout


async def test_few_rows_are_measured_and_told(tmp_path: Path) -> None:
    """Eight rows on 64 slots, simulated: there are numbers, and it is said what they are worth."""
    write_project(tmp_path, rows=8)
    fast = ("--duration", "0.4", "--warmup", "0", "--concurrency", "64", "--durability")
    done = await sdg(tmp_path, "bench", "--simulate", "--pipeline", "p.yaml", "--input", "in.jsonl", *fast)
    assert done.returncode == 0, done.stderr
    assert "8 input rows did not keep 64 in flight for long enough to compare" in done.stdout
    assert "the run directory costs" in done.stdout


async def test_ctrl_c_in_the_run_leaves_the_sweep_and_no_folder(tmp_path: Path) -> None:
    """Exit 130; what was swept is shown and written, without numbers of the pipeline."""
    write_project(tmp_path, rows=500)
    (tmp_path / "runs").mkdir()
    async with teacher(tmp_path, "--slots", "2", "--latency", "fixed", "--latency-seconds", "0.05") as url:
        command = [*COMMAND, "bench", "--endpoint-url", url, *QUICK, "--model-family", "mixtral"]
        command += ["--concurrency", "2", "--pipeline", "p.yaml", "--input", "in.jsonl"]
        command += ["--output-dir", "runs", "--json", "b.json"]
        async with await anyio.open_process(command, cwd=tmp_path, env=environment()) as process:
            with anyio.fail_after(30):
                await Lines(process).until_word("rows are begun")
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 130
    report = json.loads((tmp_path / "b.json").read_text())
    assert (report["interrupted"], report["pipeline"], len(report["levels"])) == (True, None, 1)
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--gpus", "2"), "--gpus is about a run of --pipeline"),
        (("--pipeline", "p.yaml", "--no-run", "--durability"), "--durability is about a run of --pipeline"),
    ],
)
async def test_options_of_the_run_need_one(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    """A mistake before anything is asked."""
    done = await sdg(tmp_path, "bench", *options)
    assert done.returncode == 2
    assert words in done.stderr
