"""Rows 81, 82 and 84: files are data. They choose neither which code runs nor where files are written."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import COMMAND, environment, sdg, write_project

from sdg_stream.catalog import resolve_block
from sdg_stream.errors import ConfigError
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
RAN = "ran.txt"

TRAP = """\
import os, pathlib
pathlib.Path({ran!r}).open("a").write(__name__ + "\\n")
class Block: pass
"""
PIPELINE = 'version: "1.0"\nblocks:\n  - {{name: a, type: "{type}", config: {{}}}}\n'


def trap(*files: Path, ran: Path) -> None:
    """Modules that leave a trace when they are imported."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TRAP.format(ran=str(ran)), encoding="utf-8")


# ---------------------------------------------------------------- row 81: imports


@pytest.mark.parametrize(
    "type_name",
    [
        "evil:Block",
        "evil",
        "os:system",
        "os.path:join",
        "subprocess:Popen",
        "builtins:exec",
        "sdg_stream.testing.scripted:ScriptedBackend",
        "../evil:Block",
        "..evil:Block",
        ".evil:Block",
        "plugins/../../evil:Block",
        "{folder}/evil:Block",
        "./evil:Block",
        "evil.py:Block",
        "evil:__doc__.__class__",
        ":Block",
        "evil:",
        "::",
    ],
)
def test_row_81_a_type_names_no_code_that_was_not_allowed(tmp_path: Path, type_name: str) -> None:
    """Refused, with nothing imported: neither without plugin folders nor from outside of one."""
    ran, plugins = tmp_path / RAN, tmp_path / "deep" / "plugins"
    plugins.mkdir(parents=True)
    trap(tmp_path / "evil.py", tmp_path / "deep" / "evil.py", tmp_path / "os.py", ran=ran)
    for allowed in ((), (plugins,)):
        with pytest.raises(ConfigError):
            resolve_block(type_name.format(folder=tmp_path), allowed)
    assert not ran.exists()


def test_row_81_a_block_inside_a_block_is_no_way_around(tmp_path: Path) -> None:
    """The type that an IterBlock runs is held to the same."""
    import sdg_stream as sdg

    trap(tmp_path / "evil.py", ran=tmp_path / RAN)
    config = "{num_iters: 2, block_type: 'evil:Block', block_kwargs: {}}"
    (tmp_path / "p.yaml").write_text(
        f'version: "1.0"\nblocks:\n  - {{name: a, type: IterBlock, config: {config}}}\n'
    )
    with pytest.raises(ConfigError, match="no module 'evil'"):
        sdg.Pipeline.load(tmp_path / "p.yaml")
    assert not (tmp_path / RAN).exists()


@pytest.mark.parametrize(
    "command", [COMMAND, (sys.executable, "-P", "-m", "sdg_stream")], ids=["-m", "-P -m"]
)
def test_row_81_nothing_is_imported_from_the_working_folder(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A data set's own ``yaml.py``, a plugin that nobody allowed, one that pretends to be installed."""
    ran = tmp_path / RAN
    names = (
        "yaml",
        "orjson",
        "click",
        "msgspec",
        "jinja2",
        "aiohttp",
        "anyio",
        "rich",
        "uvloop",
        "json",
        "csv",
    )
    trap(*(tmp_path / f"{name}.py" for name in (*names, "word_count", "evil", "sitecustomize")), ran=ran)
    info = tmp_path / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sdg_stream.blocks]\nEvil = evil:Block\n")
    for type_name, words in (("word_count:Block", "--plugins DIR"), ("Evil", "unknown block type 'Evil'")):
        (tmp_path / "p.yaml").write_text(PIPELINE.format(type=type_name))
        done = subprocess.run(
            [*command, "check", "p.yaml"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
    assert not ran.exists(), ran.read_text()


async def test_row_81_a_run_from_a_checkout_still_works(tmp_path: Path) -> None:
    """There the package itself is found by way of the working folder."""
    (tmp_path / "sdg_stream").symlink_to(ROOT / "sdg_stream")
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    done = await sdg(tmp_path, "pipelines", "list", PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert "full/knowledge" in done.stdout


async def test_row_81_a_folder_that_is_allowed_is_used(tmp_path: Path) -> None:
    """Only the module that is named there runs."""
    trap(tmp_path / "evil.py", tmp_path / "plugins" / "good.py", ran=tmp_path / RAN)
    (tmp_path / "p.yaml").write_text(PIPELINE.format(type="good:Block"))
    done = await sdg(tmp_path, "check", "p.yaml", "--plugins", "plugins")
    assert "is not a subclass of RowBlock" in done.stderr
    assert (tmp_path / RAN).read_text() == "good\n"


# ---------------------------------------------------------------- row 82: names


NAMES = (
    "../../x", "../x", "..", "../../x.yaml", "full/../../x", "full/../../../x", "./../x", "x/../../../x",
    "/{folder}/x", "{folder}/x", "{folder}/x.yaml", "full\\..\\..\\x", "all/../../x", "....//....//x", "~/x",
    "full/knowledge/../../../x",
)  # fmt: skip


def everything(folder: Path) -> set[str]:
    """Every path below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("name", NAMES)
async def test_row_82_a_name_leads_to_no_file_outside(tmp_path: Path, name: str) -> None:
    """``pipelines copy`` takes shipped names and no paths; nothing is read or written for any other."""
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    for place in (tmp_path, tmp_path / "a", here):
        (place / "x.yaml").write_text("secret: 1\n")
    before = everything(tmp_path)
    done = await sdg(here, "pipelines", "copy", name.format(folder=tmp_path), "copied")
    assert done.returncode == 2
    assert "no shipped pipeline" in done.stderr
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", ["../../../escape", "{folder}/escape", "..", "a/b", "a\\b", "CON", "\u202e"])
async def test_row_82_names_in_files_and_replies_are_no_paths(tmp_path: Path, name: str) -> None:
    """Blocks, models and rows called so write nothing beside the output and its run directory."""
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    write_project(here)
    name = name.format(folder=tmp_path)
    text = (here / "ask.yaml").read_text()
    (here / "ask.yaml").write_text(text.replace("name: ask", f"name: '{name}'"))
    (here / "in.jsonl").write_text('{"topic": "../../../escape", "number": 1}\nnot a row\n')
    before = everything(tmp_path)
    async with serve(SimulatorSettings(latency="zero", model=name)) as server:
        await sdg(here, "run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--endpoint-url", server.url)
    new = everything(tmp_path) - before
    assert {path for path in new if not path.startswith(("a/b/out.jsonl.run/", "a/b/out.jsonl"))} == set()
    assert "a/b/out.jsonl" in new


# ---------------------------------------------------------------- row 84: no code in data


UNSAFE_MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "marshal",
    "shelve",
    "joblib",
    "jsonpickle",
}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
UNSAFE_ATTRIBUTES = {
    "unsafe_load",
    "full_load",
    "load_all",
    "unsafe_load_all",
    "full_load_all",
    "UnsafeLoader",
}
UNSAFE_WORDS = {"trust_remote_code", "allow_pickle", "weights_only"}
SOURCES = sorted(file for folder in ("sdg_stream", "bench", ".ci") for file in (ROOT / folder).rglob("*.py"))


def unsafe(text: str) -> list[str]:
    """What in a module would run code that came as data."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module.partition(".")[0], *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in UNSAFE_CALLS:
            found.append(f"{node.lineno}: {node.func.id}()")
        elif isinstance(node, ast.Attribute):
            names = [node.attr] if node.attr in UNSAFE_ATTRIBUTES else []
            if (
                node.attr == "load"
                and isinstance(node.value, ast.Name)
                and node.value.id in {"yaml", "torch"}
            ):
                found.append(f"{node.lineno}: {node.value.id}.load")
        elif isinstance(node, ast.keyword) and node.arg in UNSAFE_WORDS and not _is_refusal(node):
            found.append(f"{node.value.lineno}: {node.arg}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in UNSAFE_WORDS:
            found.append(f"{node.lineno}: {node.value}")
        bad = (UNSAFE_MODULES | UNSAFE_ATTRIBUTES) & set(names)
        found += [f"{getattr(node, 'lineno', 0)}: {name}" for name in sorted(bad)]
    return found


def _is_refusal(keyword: ast.keyword) -> bool:
    """``trust_remote_code=False`` and ``allow_pickle=False`` say that it must not be."""
    refused = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
    return refused and keyword.arg in {"trust_remote_code", "allow_pickle"}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_row_84_nothing_runs_what_came_as_data(file: Path) -> None:
    """No pickles and their like, no eval or exec, no unsafe YAML, no code from model hubs."""
    assert unsafe(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import dill as d",
        "import marshal, os",
        "import shelve",
        "eval(x)",
        "exec(x)",
        "yaml.load(x, Loader=y)",
        "yaml.full_load(x)",
        "from yaml import unsafe_load",
        "load(x, trust_remote_code=True)",
        "load(x, **{'trust_remote_code': True})",
        "numpy.load(x, allow_pickle=True)",
    ],
)
def test_row_84_the_check_finds_what_it_looks_for(text: str) -> None:
    """Each of the ways, in a module of one line."""
    assert unsafe(text)
