"""The command group: what it lists, what it imports, how errors end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sdg_stream.cli.app import COMMANDS, app
from sdg_stream.errors import ConfigError, OutputError, Problem, RunStateError, TeacherUnusable


def imported_by(*arguments: str) -> set[str]:
    """Top-level modules that a command line imports."""
    code = (
        f"import sys; sys.argv[1:] = {list(arguments)!r}; import runpy\n"
        "try:\n    runpy.run_module('sdg_stream', run_name='__main__')\n"
        "except SystemExit:\n    pass\nfinally:\n    print('MODULES', *sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in result.stdout.rpartition("MODULES ")[2].split()}


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ()])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    """Help needs click, and neither the HTTP library nor YAML nor rich."""
    assert not imported_by(*arguments) & {
        "aiohttp",
        "anyio",
        "yaml",
        "rich",
        "jinja2",
        "orjson",
        "uvloop",
    }


def test_help_lists_all_commands_that_exist() -> None:
    """Each command of the table is listed, can be loaded, and has a help text."""
    runner = CliRunner()
    listed = runner.invoke(app, ["--help"])
    assert listed.exit_code == 0
    for name in COMMANDS:
        assert f"  {name}  " in listed.stdout
        assert runner.invoke(app, [name, "--help"]).exit_code == 0
    assert runner.invoke(app, []).exit_code == 0


def test_version() -> None:
    """The version is the package's."""
    from sdg_stream import __version__

    assert __version__ in CliRunner().invoke(app, ["--version"]).stdout


@pytest.mark.parametrize(
    ("typed", "words"), [("chekc", "did you mean 'check'?"), ("zzz", "commands: run, generate")]
)
def test_unknown_command_names_the_nearest(typed: str, words: str) -> None:
    """A typo in a command is a usage error with a way out."""
    result = CliRunner().invoke(app, [typed])
    assert result.exit_code == 2
    assert words in result.stderr


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let every command raise ``error``."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(type(app), "get_command", lambda *_: click.Command("run", callback=fail))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("no such key"), 2),
        (TeacherUnusable("no teacher"), 4),
        (OutputError("disk full"), 5),
        (RunStateError("exists"), 6),
    ],
)
def test_errors_for_people_have_their_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    """Each error of the package prints its words, harmless, with its notes, and without a traceback."""
    error.add_note("3 rows saved\x1b[31m")
    failing(monkeypatch, error)
    result = CliRunner().invoke(app, ["run"])
    assert result.exit_code == code
    assert result.stderr == f"Error: {error}\n3 rows saved\n"
    assert result.stdout == ""


def test_several_mistakes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All mistakes, one a line, and how many there are."""
    problems = [Problem(file="p.yaml", line=3, path="$.a", message="bad"), Problem(message="worse")]
    failing(monkeypatch, ConfigError(problems))
    result = CliRunner().invoke(app, ["run"])
    assert result.stderr.splitlines() == [
        "p.yaml:3: $.a: bad",
        "worse",
        "Error: 2 mistakes; nothing was asked of the teacher.",
    ]


def test_commands_that_ask_nobody_say_nothing_of_a_teacher(tmp_path: Path) -> None:
    """Their mistakes are counted, and that is all."""
    (tmp_path / "settings.yaml").write_text("nonsense: 1\nrubbish: 2\n")
    for command in (["mmlu"], ["check", "full/knowledge"], ["taxonomy", "check", "."]):
        result = CliRunner().invoke(app, [*command, "--settings", str(tmp_path / "settings.yaml")])
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == "Error: 2 mistakes."


def test_interrupt_before_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while files are still being read exits with 130 and no traceback."""
    failing(monkeypatch, KeyboardInterrupt())
    result = CliRunner().invoke(app, ["run"])
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


def test_broken_pipe_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of the output that leaves early is not scolded; the code says that not all was written."""
    failing(monkeypatch, BrokenPipeError())
    result = CliRunner().invoke(app, ["run"])
    assert (result.exit_code, result.stderr) == (5, "")


def test_a_bug_is_a_traceback_and_a_plea() -> None:
    """What nobody meant exits with 1, the traceback, the notes, made harmless, and where to go with it."""
    code = (
        "import sys; from sdg_stream.cli.errors import report_bug; sys.excepthook = report_bug\n"
        "error = ZeroDivisionError('by \\x1b[31mnothing'); error.add_note('at block judge'); raise error"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: by nothing\nat block judge\n" in result.stderr
    assert result.stderr.endswith("Please report it with the lines above.\n")
