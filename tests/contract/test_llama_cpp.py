"""The contracts held against a real llama.cpp server, when there is one.

``SDG_STREAM_LLAMA_VENV`` names an environment with the server in it; ``llama_server.py`` makes one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts import CONTRACTS, Server
from llama_server import serving

VENV = os.environ.get("SDG_STREAM_LLAMA_VENV")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(150),
    pytest.mark.skipif(
        not VENV,
        reason="needs a llama.cpp server: python tests/contract/llama_server.py --venv DIR, then "
        "SDG_STREAM_LLAMA_VENV=DIR",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all contracts."""
    with serving(Path(str(VENV)) / "bin" / "python", tmp_path_factory.mktemp("llama")) as running:
        yield running


@pytest.mark.parametrize("name", CONTRACTS)
async def test_contract(name: str, server: Server) -> None:
    """Each contract is kept by a server that nobody here wrote."""
    assert await CONTRACTS[name](server)
