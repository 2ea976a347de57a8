"""See whether lm-eval reads the benchmark that ``mmlu`` writes; run by hand, at any time.

    python tests/differential/load_in_lm_eval.py [--venv DIR]

Installs lm-eval in an environment of its own (kept in DIR, if given), writes a benchmark, and has lm-eval
find its task, load the dataset, render every question and score it with lm-eval's ``dummy`` model.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import venv
from pathlib import Path

from sdg_stream.mixing.benchmark import write_benchmark

REQUIREMENT = "lm-eval==0.4.13"
OPTIONS = "A) In hives\nB) In holes\nC) In trees\nD) At sea"
ROWS = [
    {
        "document": "d",
        "domain": "x",
        "mmlubench_question": f"Where {n}?\n{OPTIONS}",
        "mmlubench_answer": f"{answer}) x",
    }
    for n, answer in enumerate("DBE")
]

CHILD = """
import sys
import lm_eval
from lm_eval.tasks import TaskManager

manager = TaskManager(include_path=sys.argv[1], include_defaults=False)
found = lm_eval.simple_evaluate(model="dummy", tasks=["mmlu_pr"], task_manager=manager)
for sample in found["samples"]["knowledge_bees"]:
    choices = [argument[1] for argument in sample["arguments"]]
    print(repr(sample["arguments"][0][0]), choices, sample["target"])
print(found["results"])
"""


def main() -> None:
    """Write a benchmark and have lm-eval read it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--venv", type=Path, help="environment for lm-eval; made if it is not there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.venv or Path(scratch, "venv")
        python = folder / "bin" / "python"
        if not python.exists():
            venv.create(folder, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", REQUIREMENT], check=True)
        report = write_benchmark(ROWS, "knowledge_bees", scratch, "S")
        subprocess.run([python, "-c", CHILD, Path(report.task_file).parent], check=True, cwd=scratch)


if __name__ == "__main__":
    main()
