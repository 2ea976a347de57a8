"""The benchmark, beyond what the differential tests compare with upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sdg_stream.errors import ConfigError
from sdg_stream.mixing.benchmark import benchmark_row, task_text, write_benchmark
from sdg_stream.mixing.row_files import read_sound_rows

OPTIONS = "A) one\nB) two\nC) three\nD) four"


def test_q_eval_1_letters_are_always_the_same_numbers() -> None:
    """Whichever letters other rows have."""
    for number, letter in enumerate("ABCD"):
        row = benchmark_row({"mmlubench_question": f"q\n{OPTIONS}", "mmlubench_answer": f"{letter}) x"})
        assert isinstance(row, dict)
        assert row["answer"] == number


def test_q_eval_2_the_question_ends_at_the_first_bracket() -> None:
    """Kept as upstream has it."""
    row = benchmark_row({"mmlubench_question": f"Who (of NASA) flew?\n{OPTIONS}", "mmlubench_answer": "A) x"})
    assert isinstance(row, dict)
    assert row["question"] == "Who (of NAS"


def test_rows_left_out_are_counted_by_reason(tmp_path: Path) -> None:
    """And every row is counted once."""
    rows: list[dict[str, Any]] = [
        {"mmlubench_question": f"q\n{OPTIONS}", "mmlubench_answer": "A) one", "domain": "x"},
        {"mmlubench_question": f"q\n{OPTIONS}", "mmlubench_answer": None},
        {"other": 1},
        {"mmlubench_question": "q", "mmlubench_answer": "A) one"},
        {"mmlubench_question": f"q\n{OPTIONS}", "mmlubench_answer": "A. one"},
        {"mmlubench_question": f"q\n{OPTIONS}", "mmlubench_answer": "AB) one"},
        {"mmlubench_question": f"q\n{OPTIONS}", "mmlubench_answer": ") one"},
        {"mmlubench_question": "q\nA) one", "mmlubench_answer": "A) one"},
    ]
    report = write_benchmark(rows, "leaf", tmp_path / "new", "S")
    assert report.rows == 1
    assert report.left_out == {
        "no question or no answer": 2,
        "no option A) in the question, or none in the answer": 2,
        "the answer is none of A to D": 2,
        "not four options": 1,
    }
    [row] = read_sound_rows(Path(report.dataset))
    assert list(row) == [
        "mmlubench_question", "mmlubench_answer", "subject", "dataset_type", "answer", "choices", "question",
    ]  # fmt: skip


def test_the_task_file_names_the_dataset_as_the_folder_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative folder gives a relative path."""
    monkeypatch.chdir(tmp_path)
    report = write_benchmark([], "leaf", "out", "S")
    task = yaml.safe_load(Path(report.task_file).read_text(encoding="utf-8"))
    assert report.task_file == "out/node_datasets_S/leaf_task.yaml"
    assert task["dataset_kwargs"]["data_files"]["test"] == "out/node_datasets_S/mmlubench_leaf.jsonl"
    assert Path(report.dataset).read_bytes() == b""


def test_the_task_file() -> None:
    """Keys sorted; the texts are templates of lm-eval."""
    task = yaml.safe_load(task_text("leaf", "rows.jsonl"))
    assert list(task) == sorted(task)
    options = "".join(f"{letter}. {{{{choices[{number}]}}}}\n" for number, letter in enumerate("ABCD"))
    assert task["doc_to_text"] == f"{{{{question.strip()}}}}\n{options}Answer:"


def test_names_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    """Both the task's and the suffix."""
    with pytest.raises(ConfigError, match="name of the task"):
        write_benchmark([], "../x", tmp_path, "S")
    with pytest.raises(ConfigError, match="date suffix"):
        write_benchmark([], "x", tmp_path, "../S")
