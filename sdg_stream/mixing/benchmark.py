"""The benchmark of a knowledge leaf node: multiple-choice questions in the style of MMLU, for lm-eval.

Formats: a dataset of JSON lines with ``question``, ``choices`` and ``answer``, and a task file as lm-eval's
"New Task Guide" has it, which names the dataset.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import yaml

from ..record import Columns
from .names import node_datasets, part_of_a_name
from .whole_file import WholeFile

__all__ = ["BenchmarkReport", "benchmark_row", "task_text", "write_benchmark"]

_CHOICE = re.compile(r"\b[A-Z]\) (.+)")
_FIRST = "A)"
_LETTERS = "ABCD"

_DOC_TO_TEXT = "{{question.strip()}}\n" + "".join(
    f"{letter}. {{{{choices[{number}]}}}}\n" for number, letter in enumerate(_LETTERS)
)


class BenchmarkReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: paths of dataset and task file, rows in the dataset, rows left out by reason."""

    dataset: str
    task_file: str
    rows: int
    left_out: dict[str, int]


def benchmark_row(row: Columns) -> Columns | str:
    """A row of the pipeline ``eval/mmlu_bench`` as a row of the dataset, or why it is left out.

    The row's own columns, ``domain`` being called ``subject``, then ``dataset_type``, ``answer`` (0 to 3, for
    A to D), ``choices`` (four texts), ``question`` (what stands before the first ``A)``).
    """
    asked, answered = row.get("mmlubench_question"), row.get("mmlubench_answer")
    if not isinstance(asked, str) or not isinstance(answered, str):
        return "no question or no answer"
    answer, mark, _ = answered.partition(")")
    question, first, _ = asked.partition(_FIRST)
    if not mark or not first:
        return "no option A) in the question, or none in the answer"
    choices = _CHOICE.findall(asked)
    if len(choices) != len(_LETTERS):
        return "not four options"
    if len(answer) != 1 or answer not in _LETTERS:
        return "the answer is none of A to D"
    return {
        **{"subject" if column == "domain" else column: value for column, value in row.items()},
        "dataset_type": "mcq_qa",
        "answer": _LETTERS.index(answer),
        "choices": choices,
        "question": question.strip(),
    }


def task_text(task: str, dataset: str) -> str:
    """The task file as YAML with sorted keys; ``dataset`` is the path under which lm-eval is to open it."""
    content: dict[str, Any] = {
        "task": task,
        "dataset_path": "json",
        "dataset_name": None,
        "test_split": "test",
        "doc_to_text": f"{_DOC_TO_TEXT}Answer:",
        "doc_to_choice": "{{[choices[0], choices[1], choices[2], choices[3]]}}",
        "doc_to_target": "{{answer}}",
        "output_type": "multiple_choice",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": "true"}],
        "dataset_kwargs": {"data_files": {"test": dataset}},
        "tag": "mmlu_pr",
    }
    return yaml.safe_dump(content, default_flow_style=False)


def write_benchmark(
    rows: Iterable[Columns], task: str, output_dir: str | Path, date_suffix: str
) -> BenchmarkReport:
    """Write dataset and task file of a leaf node, also when no row is left.

    Args:
        rows: what the pipeline made.
        task: name of the task and of both files, that of the leaf node.
        output_dir: the files come into ``node_datasets_<date_suffix>`` there. Relative, it is relative in the
            task file, too.
        date_suffix: see above.

    Raises:
        ConfigError: a name cannot be part of a file name.
        OutputError: a file cannot be written.
    """
    folder = node_datasets(output_dir, date_suffix)
    part_of_a_name(task, "the name of the task")
    dataset, task_file = folder / f"mmlubench_{task}.jsonl", folder / f"{task}_task.yaml"
    left_out: Counter[str] = Counter()
    with WholeFile(dataset) as file:
        for row in rows:
            made = benchmark_row(row)
            if isinstance(made, str):
                left_out[made] += 1
            else:
                file.write(orjson.dumps(made, option=orjson.OPT_APPEND_NEWLINE))
    with WholeFile(task_file) as text:
        text.write(task_text(task, str(dataset)).encode())
    return BenchmarkReport(
        dataset=str(dataset), task_file=str(task_file), rows=file.rows, left_out=dict(left_out)
    )
