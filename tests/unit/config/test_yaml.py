"""YAML with places, and what is refused before anything is built from it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.config.yaml import load_yaml, parse_yaml
from sdg_stream.errors import ConfigError


def test_every_value_knows_its_line() -> None:
    """Paths lead to lines; one that does not exist leads to what is around it."""
    document = parse_yaml("a: 1\nb:\n  - x: 2\n  - y:\n      z: 3\n")
    assert document.data == {"a": 1, "b": [{"x": 2}, {"y": {"z": 3}}]}
    assert [document.line(path) for path in ("$", "$.a", "$.b[0]", "$.b[1].y.z")] == [1, 1, 3, 5]
    assert document.line("$.b[1].y.missing.deeper") == 4
    assert document.line("nonsense") == 0


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    """Files written by editors that put a mark at the start read the same."""
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfversion: '1.0'\n")
    assert load_yaml(file).data == {"version": "1.0"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\n\tb: 2\n", "not valid YAML"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: 1\na: 2\n", "the key 'a' stands here twice"),
        ("a: !!python/object/apply:os.system ['touch canary']\n", "could not determine a constructor"),
        ("--- 1\n--- 2\n", "not valid YAML"),
        ("a: 2026-13-45\n", "not valid YAML"),
        ("[" * 100 + "]" * 100, "nested deeper than 64"),
    ],
)
def test_what_is_not_sound_yaml_is_named_with_its_line(text: str, words: str) -> None:
    """Each mistake names the file, never a traceback."""
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "some.yaml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("some.yaml")


def test_all_duplicate_keys_are_listed() -> None:
    """Not only the first."""
    with pytest.raises(ConfigError) as caught:
        parse_yaml("a: 1\nb: {c: 1, c: 2}\na: 2\n", "f.yaml")
    assert [problem.line for problem in caught.value.problems] == [2, 3]


def test_an_alias_bomb_is_refused_quickly() -> None:
    """Nested aliases that stand for billions of values are counted before they are followed far."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    started = time.monotonic()
    with pytest.raises(ConfigError, match="too many values"):
        parse_yaml("\n".join(lines))
    assert time.monotonic() - started < 20


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder, wrong bytes: each is said in words."""
    with pytest.raises(ConfigError, match="No such file"):
        load_yaml(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_yaml(tmp_path / "latin.yaml")


@given(st.text(max_size=200))
def test_any_text_gives_data_or_a_config_error(text: str) -> None:
    """No text makes anything else come out."""
    try:
        parse_yaml(text)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - either outcome is right
