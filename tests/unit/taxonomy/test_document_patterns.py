"""Patterns on the paths of a tree, against Python's own glob on a file system."""

from __future__ import annotations

import glob
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdg_stream.taxonomy.patterns import matcher

NAMES = st.sampled_from(["a", "b", "ab", ".a", "a.md", "b.MD", "[x]"])
PARTS = st.sampled_from(
    ["a", "b", "*", "**", "?", "*.md", ".*", ".a", "a*", "[ab]", "[!a]", "**b", ".", "[[]x]", ""]
)


@given(
    paths=st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=6),
    pattern=st.lists(PARTS, min_size=1, max_size=4).map("/".join).filter(lambda text: text[:1] != "/"),
)
@settings(max_examples=150, deadline=None)
def test_finds_the_files_that_glob_finds(paths: list[list[str]], pattern: str) -> None:
    """For any tree and pattern the same files are found as in a file system."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for parts in paths:
            file = folder.joinpath(*parts)
            if not file.exists() and all(not above.is_file() for above in file.parents):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("")
        files = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        found = [Path(path).as_posix() for path in glob.glob(pattern, root_dir=name, recursive=True)]  # noqa: PTH207
        assert {path for path in files if matcher(pattern)(path)} == set(found) & set(files)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("../*", "a"),
        ("**/../*", "a/b"),
        ("/etc/passwd", "etc/passwd/x"),
        ("--upload-pack=x", "a"),
        ("", "a"),
        ("docs/", "docs"),
    ],
)
def test_finds_nothing_else(pattern: str, path: str) -> None:
    """What leads out of the tree, or to no file, finds nothing."""
    assert not matcher(pattern)(path)


def test_takes_no_time_for_hostile_patterns() -> None:
    """Hundreds of wildcards against a long path are done at once."""
    assert not matcher("/".join(["**", "*a*a*a*a*b"] * 60))("/".join(["a" * 60] * 100))
    assert not matcher("**/" * 300 + "x")("/".join("a" * 100))
