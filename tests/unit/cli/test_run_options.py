"""``run``: where options come from, and what is a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from sdg_stream.cli import job as job_module
from sdg_stream.cli.app import app
from sdg_stream.cli.job import Job
from sdg_stream.cli.run import run

NEEDED = ["full/knowledge", "--input", "in.jsonl", "--output", "out.jsonl"]
SECRET = "sk-very-secret"


class Performed(list[tuple[Job, str | None]]):
    """Stands in for the run itself: keeps what would have been done."""

    def __call__(self, job: Job, api_key: str | None) -> int:
        """Take a job."""
        self.append((job, api_key))
        return 0

    @property
    def job(self) -> Job:
        """The one job."""
        (only,) = self
        return only[0]


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> Performed:
    """The jobs that command lines lead to."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    double = Performed()
    monkeypatch.setattr(job_module, "perform", double)
    return double


def invoke(arguments: Sequence[str], **environment: str) -> Result:
    """``sdg-stream run`` with arguments and environment variables."""
    return CliRunner().invoke(app, ["run", *arguments], env=environment)


def test_defaults(performed: Performed) -> None:
    """What is not said has one good default."""
    assert invoke(NEEDED).exit_code == 0
    job = performed.job
    assert job.teacher.endpoint_url == ("http://localhost:8000/v1",)
    assert (job.order, job.teacher.api, job.teacher.concurrency, job.num_instructions) == (
        "input",
        "auto",
        "auto",
        30,
    )
    assert (job.max_reject_rate, job.teacher.timeout, job.teacher.max_attempts) == (0.5, 600.0, 6)
    assert (job.progress, job.limit, job.keep.overwrite, job.teacher.simulate, job.notes) == (
        "auto",
        None,
        False,
        False,
        (),
    )


def test_pipeline_has_two_spellings(performed: Performed) -> None:
    """The argument and upstream's option name the same thing, and may not differ."""
    assert invoke(["--pipeline", *NEEDED]).exit_code == 0
    assert performed.job.pipeline == "full/knowledge"
    result = invoke([*NEEDED, "--pipeline", "other"])
    assert result.exit_code == 2
    assert "two pipelines" in result.stderr


@pytest.mark.parametrize("missing", ["PIPELINE", "--input", "--output"])
def test_what_is_missing_is_asked_for(performed: Performed, missing: str) -> None:
    """Without one of the three the run does not start, and the message says what to type."""
    at = {"PIPELINE": (0, 1), "--input": (1, 3), "--output": (3, 5)}[missing]
    result = invoke(NEEDED[: at[0]] + NEEDED[at[1] :])
    assert result.exit_code == 2
    assert missing.strip("-").lower() in result.stderr
    assert not performed


def test_command_line_wins_over_environment_over_file(performed: Performed, tmp_path: Path) -> None:
    """Each option can come from three places; the nearest to the user's fingers wins."""
    file = tmp_path / "settings.yaml"
    file.write_text("concurrency: 3\nmodel_id: filed\ntimeout: 5\nendpoint_url: [http://a/v1, http://b/v1]\n")
    result = invoke(
        [*NEEDED, "--settings", str(file), "--concurrency", "1"],
        SDG_STREAM_CONCURRENCY="2",
        SDG_STREAM_MODEL_ID="environed",
    )
    assert result.exit_code == 0, result.stderr
    job = performed.job
    assert (job.teacher.concurrency, job.teacher.model_id, job.teacher.timeout) == (1, "environed", 5.0)
    assert job.teacher.endpoint_url == ("http://a/v1", "http://b/v1")


def test_everything_can_come_from_the_file(performed: Performed, tmp_path: Path) -> None:
    """Every option but the file itself and the key has a key in the file."""
    file = tmp_path / "all.yaml"
    values = {"pipeline": "p", "input": "i", "output": "o", "simulate": "true", "endpoint_url": "http://a/v1"}
    known = {param.name: param for param in run.params if isinstance(param, click.Option)}
    for name, param in known.items():
        if name not in (*values, "settings", "api_key", "help"):
            default = param.default if isinstance(param.default, str | int | float) else None
            values[str(name)] = "null" if default is None else str(default).lower()
    file.write_text("".join(f"{name}: {value}\n" for name, value in values.items()))
    result = invoke(["--settings", str(file)])
    assert result.exit_code == 0, result.stderr
    assert (performed.job.pipeline, performed.job.teacher.simulate, performed.job.teacher.endpoint_url) == (
        "p",
        True,
        ("http://a/v1",),
    )


def test_mistakes_in_the_file_have_a_line(performed: Performed, tmp_path: Path) -> None:
    """All mistakes of a settings file at once: unknown keys, wrong types, secrets."""
    file = tmp_path / "settings.yaml"
    file.write_text(
        "modle_id: x\nconcurrency: many\norder: random\noverwrite: 1\ninput: [a]\n"
        f"timeout: true\napi_key: {SECRET}\n"
    )
    result = invoke([*NEEDED, "--settings", str(file)])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"{file}:1: $.modle_id: unknown key 'modle_id'; did you mean 'model_id'?",
        f"{file}:2: $.concurrency: 'many' is neither auto nor a number of at least 1",
        f"{file}:3: $.order: 'random' is not one of 'input', 'none'.",
        f"{file}:4: $.overwrite: expected true or false",
        f"{file}:5: $.input: expected a single value",
        f"{file}:6: $.timeout: expected no true or false",
        f"{file}:7: $.api_key: a key does not belong in a file; name a variable: api_key_env",
        "Error: 7 mistakes; nothing was asked of the teacher.",
    ]
    assert not performed


@pytest.mark.parametrize(("text", "code"), [("", 0), ("- a\n", 2), ("a: b: c\n", 2)])
def test_odd_settings_files(performed: Performed, tmp_path: Path, text: str, code: int) -> None:
    """An empty file says nothing; a list or broken YAML is a mistake with a place."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    result = invoke([*NEEDED, "--settings", str(file)])
    assert result.exit_code == code
    assert (f"{file}" in result.stderr) == bool(code)


def test_key_from_the_environment(performed: Performed) -> None:
    """The key comes from the named variable, and is no part of the job."""
    assert invoke(NEEDED, OPENAI_API_KEY=SECRET).exit_code == 0
    assert invoke([*NEEDED, "--api-key-env", "MY_KEY"], MY_KEY=SECRET).exit_code == 0
    assert invoke(NEEDED, SDG_STREAM_API_KEY=SECRET).exit_code == 0
    assert [key for _, key in performed] == [SECRET] * 3
    assert SECRET not in repr([job for job, _ in performed])
    assert not any(job.notes for job, _ in performed)


def test_key_on_the_command_line_is_warned_of(performed: Performed) -> None:
    """Upstream's --api-key works, with a word about who else can read it, which does not repeat it."""
    assert invoke([*NEEDED, "--api-key", SECRET]).exit_code == 0
    (job, key) = performed[0]
    assert key == SECRET
    assert "others on this machine can see" in job.notes[0][1]
    assert SECRET not in repr(job)


def test_a_named_variable_that_is_not_set(performed: Performed) -> None:
    """Calls go without a key then, and it is said; the default variable may be missing in silence."""
    assert invoke([*NEEDED, "--api-key-env", "MY_KEY"]).exit_code == 0
    assert "not set" in performed.job.notes[0][1]


def test_a_key_in_the_place_of_its_variable_is_not_shown(performed: Performed) -> None:
    """A key given as --api-key-env is refused without being repeated."""
    result = invoke([*NEEDED, "--api-key-env", SECRET])
    assert result.exit_code == 2
    assert SECRET not in result.output
    assert not performed


def test_simulate_needs_no_endpoint(performed: Performed) -> None:
    """--simulate and --endpoint-url contradict each other; no key goes to a simulated teacher."""
    assert invoke([*NEEDED, "--simulate", "--endpoint-url", "http://a/v1"]).exit_code == 2
    assert invoke([*NEEDED, "--simulate"], OPENAI_API_KEY=SECRET).exit_code == 0
    assert performed == [(performed.job, None)]


def test_upstreams_other_options_are_ignored_with_a_word(performed: Performed) -> None:
    """--batch-size and --num-cpus mean nothing to a stream."""
    assert invoke([*NEEDED, "--batch-size", "8", "--num-cpus", "4"]).exit_code == 0
    assert [words.partition(" is ignored")[0] for _, words in performed.job.notes] == [
        "--batch-size",
        "--num-cpus",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--limit", "0"],
        ["--max-reject-rate", "2"],
        ["--concurrency", "0"],
        ["--timeout", "0"],
        ["--order", "best"],
    ],
)
def test_values_out_of_range(performed: Performed, arguments: list[str]) -> None:
    """Impossible values are usage errors."""
    assert invoke([*NEEDED, *arguments]).exit_code == 2
    assert not performed


def test_help_has_sections() -> None:
    """Options stand under headings."""
    text = invoke(["--help"]).stdout
    for heading in ("Options:", "Pipeline:", "Teacher:", "Screen:"):
        assert f"\n{heading}\n" in text


@pytest.mark.parametrize(("output", "resumable"), [("out.jsonl", True), ("-", False), ("/dev/null", False)])
def test_a_command_that_goes_on_is_told_only_where_one_can(
    performed: Performed, output: str, resumable: bool
) -> None:
    """Standard output and devices hold nothing to go on from."""
    assert invoke([*NEEDED[:-1], output]).exit_code == 0
    assert bool(performed.job.again) == resumable
