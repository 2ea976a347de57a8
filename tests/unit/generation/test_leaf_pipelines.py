"""Which pipelines a name means, and what is said when it means none."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdg_stream.catalog import pipelines_dir
from sdg_stream.config.settings import Settings
from sdg_stream.errors import ConfigError
from sdg_stream.events import Event, Notice
from sdg_stream.generation.leaf_pipelines import FILES, find_folder, load_pipelines

EMPTY = 'version: "1.0"\nblocks: []\n'
BROKEN = 'version: "1.0"\nblocks: [{name: a, type: NoSuchBlock, config: {}}]\n'


def folder_of(folder: Path, **contents: str) -> Path:
    """A pipeline folder with all three files, some of them with other contents."""
    folder.mkdir(parents=True)
    for file in FILES.values():
        (folder / file).write_text(contents.get(file.removesuffix(".yaml"), EMPTY))
    return folder


@pytest.mark.parametrize("name", ["simple", "full", "llama"])
def test_shipped_names(name: str) -> None:
    """They are found without any data directory, and load."""
    assert find_folder(name) == pipelines_dir() / name
    loaded = load_pipelines(name, Settings(model_family="mixtral"))
    assert loaded.by_kind.keys() == FILES.keys()
    assert loaded.benchmark.name


def test_each_kind_has_its_own(tmp_path: Path) -> None:
    """Knowledge and grounded skills; everything else is freeform."""
    loaded = load_pipelines(str(folder_of(tmp_path / "mine")), Settings(model_family="mixtral"))
    assert loaded.of("knowledge") is loaded.by_kind["knowledge"]
    assert loaded.of("grounded_skill") is loaded.by_kind["grounded_skill"]
    assert [loaded.of(kind) for kind in ("freeform_skill", "odd", None)] == [
        loaded.by_kind["freeform_skill"]
    ] * 3


def test_q_alias_1_names_of_data_directories_are_loaded_from_there(tmp_path: Path) -> None:
    """From the first directory that has one, and they stand before shipped ones of the same name."""
    own = folder_of(tmp_path / "own" / "pipelines" / "mine")
    shared = folder_of(tmp_path / "shared" / "pipelines" / "theirs")
    folder_of(tmp_path / "shared" / "pipelines" / "mine")
    simple = folder_of(tmp_path / "shared" / "pipelines" / "simple")
    data_dirs = [tmp_path / "own", tmp_path / "missing", tmp_path / "shared"]
    assert find_folder("mine", data_dirs) == own
    assert find_folder("theirs", data_dirs) == shared
    assert find_folder("simple", data_dirs) == simple
    assert find_folder("full", data_dirs) == pipelines_dir() / "full"


def test_q_alias_2_a_relative_folder_is_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the working directory, with and without a separator in it."""
    folder_of(tmp_path / "mine")
    folder_of(tmp_path / "sub" / "mine")
    monkeypatch.chdir(tmp_path)
    assert find_folder("mine") == tmp_path / "mine"
    assert find_folder("./mine") == tmp_path / "mine"
    assert find_folder("sub/mine") == tmp_path / "sub" / "mine"
    assert find_folder(str(tmp_path / "mine")) == tmp_path / "mine"


@pytest.mark.parametrize("name", ["nothing", "no/such", ""])
def test_what_is_not_there_is_told(name: str) -> None:
    """With the names that there are."""
    with pytest.raises(ConfigError, match=rf"'{name}'.*shipped: full, llama, simple"):
        find_folder(name)


def test_a_path_is_not_looked_for_in_data_directories(tmp_path: Path) -> None:
    """A name that leads out of them is a folder, or nothing."""
    folder_of(tmp_path / "pipelines" / "mine")
    with pytest.raises(ConfigError, match="there is no pipeline folder"):
        find_folder("../pipelines/mine", [tmp_path / "data"])


def test_missing_files_are_all_told(tmp_path: Path) -> None:
    """With the folder that was found."""
    folder_of(tmp_path / "mine")
    for file in ("knowledge.yaml", "grounded_skills.yaml"):
        (tmp_path / "mine" / file).unlink()
    with pytest.raises(ConfigError, match=r"mine does not contain knowledge\.yaml, grounded_skills\.yaml"):
        find_folder(str(tmp_path / "mine"))


def test_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """Each with its file."""
    folder = folder_of(tmp_path / "mine", knowledge=BROKEN, freeform_skills=BROKEN)
    with pytest.raises(ConfigError) as told:
        load_pipelines(str(folder), Settings(model_family="mixtral"))
    assert [Path(problem.file).name for problem in told.value.problems] == [
        "knowledge.yaml",
        "freeform_skills.yaml",
    ]


def test_what_all_of_them_tell_is_heard_once(tmp_path: Path) -> None:
    """One warning, though three pipelines have a reason for it."""
    config = "{filter_column: a, filter_value: [x, y], operation: ne}"
    odd = f'version: "1.0"\nblocks: [{{name: keep, type: FilterByValueBlock, config: {config}}}]\n'
    folder = folder_of(
        tmp_path / "mine", **dict.fromkeys(("knowledge", "freeform_skills", "grounded_skills"), odd)
    )
    heard: list[Event] = []
    loaded = load_pipelines(str(folder), Settings(model_family="mixtral"), hook=heard.append)
    for pipeline in loaded.by_kind.values():
        pipeline.check(["a"])
    [notice] = [event for event in heard if isinstance(event, Notice) and event.level == "warning"]
    assert "ne" in notice.message
