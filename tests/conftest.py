"""Fixtures for every test: async tests run on asyncio with uvloop, the loop that the command line uses."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The event loop of async tests."""
    return "asyncio", {"use_uvloop": True}
