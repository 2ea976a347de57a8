"""``mmlu``: generated multiple-choice questions as a benchmark that lm-eval reads."""

from __future__ import annotations

from pathlib import Path

import click

from .errors import EXIT_UNSATISFIED
from .options import CONTEXT, Command, FilePath, settings_option

__all__ = ["mmlu"]


@click.command(cls=Command, context_settings=CONTEXT)
@click.option(
    "--input",
    "-i",
    "rows",
    required=True,
    type=FilePath,
    metavar="FILE",
    help="Rows of eval/mmlu_bench, JSONL.",
)
@click.option("--task-name", required=True, metavar="NAME", help="Name of the task: that of the leaf node.")
@click.option(
    "--output-dir",
    required=True,
    type=FilePath,
    metavar="DIR",
    help="Folder for node_datasets_<date suffix>.",
)
@click.option("--date-suffix", metavar="TEXT", help="End of that folder's name; else the time it is now.")
@click.option("--json", "as_json", is_flag=True, help="What has been written as JSON.")
@settings_option
def mmlu(rows: Path, task_name: str, output_dir: Path, date_suffix: str | None, as_json: bool) -> None:
    """Make a benchmark of generated multiple-choice questions: a dataset and a task file for lm-eval.

    Rows that hold no question with four options, or whose answer is none of A to D, are left out. The task
    file names the dataset as DIR is given here: give an absolute one to use it from anywhere.
    """
    from ..generation.dated_suffix import dated_suffix
    from ..mixing.benchmark import write_benchmark
    from ..mixing.row_files import read_sound_rows
    from ..observe.text import clean, plural

    suffix = date_suffix or dated_suffix()
    report = write_benchmark(read_sound_rows(rows), task_name, output_dir, suffix)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report).decode())
    else:
        click.echo(
            clean(f"{plural(report.rows, 'question')} in {report.dataset}\ntask file: {report.task_file}")
        )
        for reason, number in report.left_out.items():
            click.echo(f"left out: {plural(number, 'row')}: {reason}")
    if not report.rows:
        raise click.exceptions.Exit(EXIT_UNSATISFIED)
