"""Which files a pipeline may name: those around it, wherever symbolic links lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdg_stream.config.files import PipelineFiles
from sdg_stream.errors import ConfigError


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with secrets, and with somebody's pipelines in ``own``."""
    for folder in (
        "etc",
        "own/mine/prompts",
        "own/pipelines/full/deep",
        "own/configs/a",
        "own/prompts",
        "own/pipelines/prompts",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root: x\n")
    (tmp_path / "own/mine/out.yaml").symlink_to(tmp_path / "etc/passwd")
    (tmp_path / "own/mine/folder").symlink_to(tmp_path / "etc")
    (tmp_path / "own/mine/in.yaml").symlink_to("prompts/p.yaml")
    (tmp_path / "own/mine/round.yaml").symlink_to("round.yaml")
    return tmp_path


@pytest.mark.parametrize(
    ("base_dir", "path"),
    [
        ("own/mine", "p.yaml"),
        ("own/mine", "prompts/p.yaml"),
        ("own/mine", "prompts/../p.yaml"),
        ("own/mine", "{machine}/own/mine/prompts/p.yaml"),
        ("own/mine", "in.yaml"),
        ("own/mine", "../configs/a/p.yaml"),
        ("own/mine", "../prompts/p.yaml"),
        ("own/pipelines", "../configs/a/p.yaml"),
        ("own/pipelines/full", "../../configs/a/p.yaml"),
        ("own/pipelines/full", "../prompts/p.yaml"),
        ("own/pipelines/full/deep", "../../../prompts/p.yaml"),
        ("own/pipelines/full/deep/../deep", "../p.yaml"),
    ],
)
def test_row_42_files_around_the_pipeline_are_found(machine: Path, base_dir: str, path: str) -> None:
    """Beside and below it, from links that stay inside, and in the layout that upstream's pipelines have."""
    named = path.format(machine=machine)
    (machine / base_dir / named).touch()
    files = PipelineFiles(machine / base_dir)
    assert files.find(named) == machine / base_dir / named
    assert files.find(named) == files.find(Path(named))
    assert files.found == [machine / base_dir / named]


@pytest.mark.parametrize(
    ("base_dir", "path"),
    [
        ("own/mine", "/etc/passwd"),
        ("own/mine", "{machine}/etc/passwd"),
        ("own/mine", "../../etc/passwd"),
        ("own/mine", "prompts/../../mine2/p.yaml"),
        ("own/mine", "../mine2"),
        ("own/mine", "../config/a/p.yaml"),
        ("own/mine", "out.yaml"),
        ("own/mine", "folder/passwd"),
        ("own/mine", "round.yaml"),
        ("own/mine", "a\0b"),
        ("own/pipelines/full", "../../../etc/passwd"),
        ("own/pipelines/full", "../../mine/p.yaml"),
        ("own/pipelines", "../.ssh/p.yaml"),
    ],
)
def test_row_42_other_files_are_refused(machine: Path, base_dir: str, path: str) -> None:
    """Absolute, climbing, through links of files and folders, or by name only: none is even looked at."""
    files = PipelineFiles(machine / base_dir)
    with pytest.raises(ConfigError):
        files.find(path.format(machine=machine))
    assert files.found == []


def test_row_42_a_link_in_the_place_of_configs_does_not_help(machine: Path) -> None:
    """The folders beside ``pipelines`` count where they are, not where links in their place lead."""
    (machine / "own/configs/a").rmdir()
    (machine / "own/configs").rmdir()
    (machine / "own/configs").symlink_to(machine / "etc")
    with pytest.raises(ConfigError, match="outside of the pipeline's folder"):
        PipelineFiles(machine / "own/pipelines").find("../configs/passwd")


def test_row_36_a_file_that_is_not_there_is_a_mistake_of_who_names_it(machine: Path) -> None:
    """The problem has no file, so that it gets the place in the pipeline file."""
    with pytest.raises(ConfigError) as caught:
        PipelineFiles(machine / "own/mine").find("gone.yaml")
    [problem] = caught.value.problems
    assert (problem.file, problem.message) == (
        "",
        f"{machine}/own/mine/gone.yaml: cannot be read: No such file or directory",
    )


def test_row_42_folders_can_be_allowed(machine: Path) -> None:
    """The message says which option allows it; then it is found."""
    with pytest.raises(ConfigError) as caught:
        PipelineFiles(machine / "own/mine").find("../../etc/passwd")
    assert str(caught.value) == (
        f"'../../etc/passwd' is {machine}/etc/passwd, outside of the pipeline's folder {machine}/own/mine:"
        f" --allow-path {machine}/etc allows it (in Python: allow_paths)"
    )
    files = PipelineFiles(machine / "own/mine", [machine / "etc"])
    assert files.find("../../etc/passwd").read_text() == "root: x\n"
    assert files.find("out.yaml").read_text() == "root: x\n"
    assert files.found == [machine / "own/mine" / name for name in ("../../etc/passwd", "out.yaml")]
