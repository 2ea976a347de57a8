"""The public names of the package."""

from __future__ import annotations

import subprocess
import sys

import sdg_stream


def test_every_public_name_exists_and_the_list_is_sorted() -> None:
    """``__all__`` holds what can be had, in order."""
    assert sdg_stream.__all__ == sorted(sdg_stream.__all__)
    for name in sdg_stream.__all__:
        assert getattr(sdg_stream, name) is not None
    assert set(sdg_stream.__all__) <= set(dir(sdg_stream))


def test_importing_loads_nothing_heavy() -> None:
    """Importing the package loads none of its dependencies."""
    code = (
        "import sys, sdg_stream; "
        "heavy = 'aiohttp anyio jinja2 yaml msgspec click rich'.split(); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
