"""``mix`` and ``mmlu`` as processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio
import pytest
from command_line import COMMAND, environment, sdg

pytestmark = pytest.mark.anyio

RECIPE = """\
datasets:
- {path: data/a.jsonl, sampling_size: 3}
- {path: data/a.jsonl, sampling_size: 1.0}
metadata: {sys_prompt: Be good.}
"""


def write_dataset(folder: Path, rows: int, size: int = 1) -> None:
    """A recipe, and its dataset of rows with answers of so many bytes."""
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "data").mkdir()
    with (folder / "data" / "a.jsonl").open("w") as file:
        for number in range(rows):
            messages = [
                {"role": "user", "content": f"q{number}"},
                {"role": "assistant", "content": "r" * size},
            ]
            file.write(json.dumps({"id": str(number), "messages": messages, "task": "t"}) + "\n")


def ids(file: Path) -> list[str]:
    """Of the rows of a file."""
    return [json.loads(line)["id"] for line in file.read_text().splitlines()]


async def test_mix(tmp_path: Path) -> None:
    """Rows as the recipe says, found beside it from any folder; what was taken is said."""
    write_dataset(tmp_path, 10)
    (tmp_path / "else").mkdir()
    done = await sdg(tmp_path / "else", "mix", "--recipe", "../recipe.yaml", "--output", "out.jsonl")
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "../data/a.jsonl: 3 of 10 rows",
        "../data/a.jsonl: 10 of 10 rows",
        "13 rows in out.jsonl",
    ]
    assert ids(tmp_path / "else" / "out.jsonl") == ["6", "3", "7", *map(str, range(10))]
    [first, *_] = (tmp_path / "else" / "out.jsonl").read_text().splitlines()
    assert json.loads(first) == {
        "messages": [
            {"role": "system", "content": "Be good."},
            {"role": "user", "content": "q6"},
            {"role": "assistant", "content": "r"},
        ],
        "metadata": '{"task": "t"}',
        "id": "6",
        "unmask": False,
    }


async def test_mix_options(tmp_path: Path) -> None:
    """Another prompt and seed, no replacement, from a settings file as well; rows on standard output."""
    write_dataset(tmp_path, 10)
    options = (
        "mix",
        "--recipe",
        "recipe.yaml",
        "-o",
        "-",
        "--system-prompt",
        "Be brief.",
        "--no-replacement",
    )
    done = await sdg(tmp_path, *options, "--json", "--seed", "7")
    (tmp_path / "s.yaml").write_text("seed: 7\nreplacement: false\nsystem_prompt: Be brief.\n")
    again = await sdg(tmp_path, "mix", "--recipe", "recipe.yaml", "-o", "-", "--settings", "s.yaml")
    assert done.returncode == again.returncode == 0
    assert done.stdout == again.stdout
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({row["id"] for row in rows[:3]}) == 3
    assert {row["messages"][0]["content"] for row in rows} == {"Be brief."}
    assert json.loads(done.stderr)["rows"] == 13


async def test_mix_says_what_is_wrong(tmp_path: Path) -> None:
    """A recipe without rows ends with exit code 3; a missing dataset and a bad recipe with 2."""
    write_dataset(tmp_path, 0)
    empty = await sdg(tmp_path, "mix", "--recipe", "recipe.yaml", "-o", "out.jsonl")
    assert empty.returncode == 3
    assert "warning: data/a.jsonl holds no rows" in empty.stderr
    (tmp_path / "none.yaml").write_text("datasets: []\n")
    nothing = await sdg(tmp_path, "mix", "--recipe", "none.yaml", "-o", "other.jsonl")
    assert nothing.returncode == 3
    assert nothing.stderr == "none.yaml lists no datasets: nothing is written\n"
    assert not (tmp_path / "other.jsonl").exists()
    (tmp_path / "bad.yaml").write_text("datasets:\n- {path: gone.jsonl, sampling_size: 1}\nodd: 1\n")
    bad = await sdg(tmp_path, "mix", "--recipe", "bad.yaml", "-o", "other.jsonl")
    assert bad.returncode == 2
    assert bad.stderr.splitlines() == [
        "warning: bad.yaml:3: $.odd: nothing reads the key 'odd'",
        "Error: bad.yaml:2: there is no dataset gone.jsonl",
    ]
    full = await sdg(tmp_path, "mix", "--recipe", "recipe.yaml", "-o", "nowhere/out.jsonl")
    assert full.returncode == 5


async def test_a_killed_mix_leaves_the_old_file_and_the_next_one_a_whole_one(tmp_path: Path) -> None:
    """Nobody ever sees half a file."""
    write_dataset(tmp_path, 60_000, 500)
    out, beside = tmp_path / "out.jsonl", tmp_path / "out.jsonl.new"
    out.write_text("old\n")
    command = [*COMMAND, "mix", "--recipe", "recipe.yaml", "--output", "out.jsonl"]
    process = await anyio.open_process(command, cwd=tmp_path, env=environment(), stdout=None, stderr=None)
    with anyio.fail_after(30):
        while not (beside.exists() and beside.stat().st_size):  # noqa: ASYNC110 - a file of another process
            await anyio.sleep(0.001)
        process.kill()
        await process.wait()
    assert out.read_text() == "old\n"
    assert sorted(file.name for file in tmp_path.glob("*.jsonl")) == ["out.jsonl"]
    done = await sdg(tmp_path, "mix", "--recipe", "recipe.yaml", "--output", "out.jsonl")
    assert done.returncode == 0
    assert len(ids(out)) == 60_003
    assert not beside.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="resource is of Unix")
async def test_memory_does_not_grow_with_a_dataset(tmp_path: Path) -> None:
    """Twenty times the rows, drawn and taken as a whole, in the same memory within 8 MiB."""
    peaks = []
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from sdg_stream.mixing.mix import mix\n"
        "from sdg_stream.mixing.recipe import load_recipe\n"
        "report = mix(load_recipe(Path('recipe.yaml')), 'out.jsonl')\n"
        "print(report.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    for rows in (5_000, 100_000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        write_dataset(folder, rows, 500)
        (folder / "recipe.yaml").write_text(RECIPE.replace("sampling_size: 3", "sampling_size: 0.5"))
        done = await anyio.run_process([sys.executable, "-c", code], cwd=folder, env=environment())
        mixed, peak = map(int, done.stdout.split())
        assert mixed == rows * 1.5
        peaks.append(peak)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    assert (peaks[1] - peaks[0]) * unit < 8 * 2**20


async def test_mmlu(tmp_path: Path) -> None:
    """Dataset and task file where they belong; what is left out is said."""
    options = "A) one\nB) two\nC) three\nD) four"
    rows = [
        {"mmlubench_question": f"q\n{options}", "mmlubench_answer": "D) four", "domain": "x"},
        {"mmlubench_question": "q", "mmlubench_answer": "D) four", "domain": "x"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    where = ("--task-name", "bees", "--output-dir", "out", "--date-suffix", "S")
    done = await sdg(tmp_path, "mmlu", "--input", "rows.jsonl", *where)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "1 question in out/node_datasets_S/mmlubench_bees.jsonl",
        "task file: out/node_datasets_S/bees_task.yaml",
        "left out: 1 row: no option A) in the question, or none in the answer",
    ]
    [row] = (tmp_path / "out" / "node_datasets_S" / "mmlubench_bees.jsonl").read_text().splitlines()
    assert json.loads(row)["answer"] == 3
    assert (tmp_path / "out" / "node_datasets_S" / "bees_task.yaml").exists()
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[1]))
    nothing = await sdg(tmp_path, "mmlu", "--input", "rows.jsonl", *where, "--json")
    assert nothing.returncode == 3
    assert json.loads(nothing.stdout)["rows"] == 0
    wrong = await sdg(tmp_path, "mmlu", "--input", "rows.jsonl", *where[2:], "--task-name", "../x")
    assert wrong.returncode == 2


async def test_mmlu_without_a_suffix_takes_the_time(tmp_path: Path) -> None:
    """In the form that runs use."""
    (tmp_path / "rows.jsonl").write_text("{}\n")
    await sdg(tmp_path, "mmlu", "--input", "rows.jsonl", "--task-name", "bees", "--output-dir", "out")
    [folder] = (tmp_path / "out").iterdir()
    date, _, time = folder.name.removeprefix("node_datasets_").partition("T")
    assert [len(part) for part in (*date.split("-"), *time.split("_"))] == [4, 2, 2, 2, 2, 2]
