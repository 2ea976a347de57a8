"""Recipes: reading, writing, defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sdg_stream.errors import ConfigError
from sdg_stream.mixing.recipe import (
    Dataset,
    Recipe,
    default_recipe,
    load_recipe,
    recipe_text,
    sound_prompt,
    total_rows,
)


def write(file: Path, text: str) -> Path:
    """A file with this text."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_a_recipe_is_read(tmp_path: Path) -> None:
    """Whole numbers and shares are told apart; paths start at the recipe; metadata may hold anything."""
    text = """\
datasets:
- path: node/a.jsonl
  sampling_size: 30
- {path: /data/b.jsonl, sampling_size: 1.0}
metadata: {sys_prompt: Be good., made_by: me}
"""
    recipe = load_recipe(write(tmp_path / "r.yaml", text))
    assert recipe.datasets == (Dataset("node/a.jsonl", 30, 2), Dataset("/data/b.jsonl", 1.0, 4))
    assert isinstance(recipe.datasets[0].sampling_size, int)
    assert isinstance(recipe.datasets[1].sampling_size, float)
    assert recipe.system_prompt == "Be good."
    assert recipe.warnings == ()
    assert recipe.path_of(recipe.datasets[0]) == tmp_path / "node" / "a.jsonl"
    assert recipe.path_of(recipe.datasets[1]) == Path("/data/b.jsonl")


@pytest.mark.parametrize("text", ["", "{}", "datasets:\n", "datasets: []\nmetadata:\n"])
def test_an_empty_recipe(tmp_path: Path, text: str) -> None:
    """Has no datasets and no prompt."""
    recipe = load_recipe(write(tmp_path / "r.yaml", text))
    assert recipe.datasets == ()
    assert recipe.system_prompt is None


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    """With file, line and path, and the nearest right word."""
    text = """\
dataset: []
datasets:
- path: 3
  sampling_sise: 3
- path: a
  sampling_size: "1"
- path: a
  sampling_size: true
- path: a
  sampling_size: -0.5
- path: a
  sampling_size: .inf
- a.jsonl
metadata: {sys_prompt: [x]}
"""
    file = write(tmp_path / "r.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_recipe(file)
    size = "expected a number of rows such as 30, or a share such as 0.5, got"
    assert [str(problem).removeprefix(str(file)) for problem in caught.value.problems] == [
        ":1: $.dataset: unknown key 'dataset'; did you mean 'datasets'?",
        ":4: $.datasets[0].sampling_sise: unknown key 'sampling_sise'; did you mean 'sampling_size'?",
        ":3: $.datasets[0]: the key 'sampling_size' is missing",
        ":3: $.datasets[0].path: expected the path of a JSONL file, got 3",
        f':6: $.datasets[1].sampling_size: {size} "1"',
        f":8: $.datasets[2].sampling_size: {size} true",
        f":10: $.datasets[3].sampling_size: {size} -0.5",
        f":12: $.datasets[4].sampling_size: {size} null",
        ':13: $.datasets[5]: expected a mapping, got "a.jsonl"',
        ':14: $.metadata.sys_prompt: expected text, got ["x"]',
    ]


@pytest.mark.parametrize("text", ["[1]", "datasets: 3", "metadata: x", "datasets: [3]"])
def test_other_shapes_are_mistakes(tmp_path: Path, text: str) -> None:
    """In words, not as a traceback."""
    with pytest.raises(ConfigError, match="expected a"):
        load_recipe(write(tmp_path / "r.yaml", text))


def test_keys_that_nothing_reads_are_named(tmp_path: Path) -> None:
    """As warnings: other tools may read them."""
    text = "version: 2\ndatasets:\n- {path: a, sampling_size: 1, comment: x}\n"
    recipe = load_recipe(write(tmp_path / "r.yaml", text))
    assert [warning.partition("r.yaml:")[2] for warning in recipe.warnings] == [
        "1: $.version: nothing reads the key 'version'",
        "3: $.datasets[0].comment: nothing reads the key 'comment'",
    ]


def test_a_recipe_is_written_as_it_is_read(tmp_path: Path) -> None:
    """Keys sorted, sizes keep their kind, any prompt comes back."""
    prompt = 'I am a "model"®: a\nb # c \u2028'
    recipe = Recipe(
        file=tmp_path / "r.yaml", datasets=(Dataset("a", 30), Dataset("b", 1.0)), system_prompt=prompt
    )
    text = recipe_text(recipe)
    assert text.startswith(
        "datasets:\n- path: a\n  sampling_size: 30\n- path: b\n  sampling_size: 1.0\nmetadata:\n"
    )
    assert yaml.safe_load(text)["metadata"] == {"sys_prompt": prompt}
    again = load_recipe(write(tmp_path / "r.yaml", text))
    assert [(one.path, one.sampling_size) for one in again.datasets] == [("a", 30), ("b", 1.0)]
    assert again.system_prompt == prompt


def test_q_mix_8_paths_of_a_default_recipe_become_absolute(tmp_path: Path) -> None:
    """The first data directory that has the recipe counts."""
    folder = tmp_path / "two" / "default_data_recipes"
    write(
        folder / "skills.yaml",
        "datasets: [{path: a.jsonl, sampling_size: 1.0}, {path: /b, sampling_size: 2}]",
    )
    write(tmp_path / "three" / "default_data_recipes" / "skills.yaml", "datasets: []")
    dirs = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    recipe = default_recipe(dirs, "skills")
    assert recipe is not None
    assert [one.path for one in recipe.datasets] == [str(folder / "a.jsonl"), "/b"]
    assert default_recipe(dirs, "knowledge") is None


def test_how_many_rows_a_recipe_gives(tmp_path: Path) -> None:
    """Lines that hold something, by their share; whole numbers as they are; 0 for what is not there."""
    write(tmp_path / "a.jsonl", '{}\n\n{"text": "\u2028"}\n{}')
    sizes = [
        Dataset("a.jsonl", 1.0),
        Dataset("a.jsonl", 0.5),
        Dataset("a.jsonl", 7),
        Dataset("gone.jsonl", 9),
    ]
    assert total_rows(Recipe(file=tmp_path / "r.yaml", datasets=tuple(sizes))) == 3 + 1 + 7


def test_a_prompt_that_is_no_text() -> None:
    """Half a surrogate pair, as a command line can hold, is refused."""
    assert sound_prompt("®") == "®"
    with pytest.raises(ConfigError, match="system prompt"):
        sound_prompt("\udcff")
