"""The command that goes on: what was typed, without what would undo, repeat or give away."""

from __future__ import annotations

import sys

import pytest

from sdg_stream.cli.demo import own_command
from sdg_stream.cli.typed import again


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("p.yaml -i in -o out", "p.yaml -i in -o out"),
        ("p.yaml --overwrite -o out", "p.yaml -o out"),
        ("p.yaml -o out --retry-rejected", "p.yaml -o out"),
        ("p.yaml --resume never -o out", "p.yaml -o out"),
        ("p.yaml --resume=never -o out --edited", "p.yaml -o out --edited"),
        ("p.yaml --api-key sk-1 -o out --api-key=sk-2", "p.yaml -o out"),
        ("p.yaml -o 'my out' --limit=3", "p.yaml -o 'my out' --limit=3"),
    ],
)
def test_words_that_are_left_out(monkeypatch: pytest.MonkeyPatch, typed: str, wanted: str) -> None:
    """Starting over, running rejects again and keys are said once; the rest stays as it was typed."""
    import shlex

    monkeypatch.setattr(sys, "argv", ["sdg-stream", "run", *shlex.split(typed)])
    assert again("run") == f"{own_command()} run {wanted}"
