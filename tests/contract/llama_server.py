"""Our client against a real server: llama.cpp behind the OpenAI API of ``llama-cpp-python[server]``.

    python tests/contract/llama_server.py [--venv DIR]

makes a virtual environment (kept, if DIR is given, so that the server is built from source only once: about
six minutes on two cores), writes a tiny model with random weights, starts the server on a free port of
127.0.0.1, holds every contract of ``contracts.py`` against it, and prints what was seen. Exit code 1 if a
contract is broken. Needs a C++ compiler and access to a package index; runs for about two minutes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from contracts import CONTRACTS, KEY, MODEL, Server

PINNED = ("llama-cpp-python[server]==0.3.36", "gguf==0.19.0")
CONTEXT = 8192  # tokens
READY_SECONDS = 60.0
CONTRACT_SECONDS = 120.0
HERE = Path(__file__).parent


def make_venv(folder: Path) -> Path:
    """An environment with the server in it; its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PINNED], check=True)
    return python


@contextmanager
def serving(python: Path, folder: Path) -> Iterator[Server]:
    """The server over a tiny model, while the block runs; its log is in the folder.

    Raises:
        RuntimeError: it did not come up.
    """
    model, log = folder / "tiny.gguf", folder / "server.log"
    subprocess.run([python, HERE / "tiny_gguf.py", model], check=True)
    port = _free_port()
    options = {
        "model": model,
        "model_alias": MODEL,
        "n_ctx": CONTEXT,
        "n_threads": 1,
        "logits_all": "true",  # without it the server refuses logprobs
        "api_key": KEY,
        "verbose": "false",
        "host": "127.0.0.1",
        "port": port,
    }
    flags = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    with log.open("wb") as words:
        command = [str(python), "-m", "llama_cpp.server", *flags]
        process = subprocess.Popen(command, cwd=folder, stdout=words, stderr=words)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _wait_ready(url, process, log)
        yield Server(url=url, folder=folder)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    request = urllib.request.Request(url + "/models", headers={"Authorization": f"Bearer {KEY}"})
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except urllib.error.URLError:
            time.sleep(0.2)
    raise RuntimeError(f"the server did not come up:\n{log.read_text(errors='replace')[-2000:]}")


async def hold_all(server: Server, names: list[str]) -> bool:
    """Hold the contracts, one line each as soon as it is known; whether all were kept."""
    kept = True
    for name, contract in CONTRACTS.items():
        if names and name not in names:
            continue
        began = time.monotonic()
        try:
            with anyio.fail_after(CONTRACT_SECONDS):
                seen, verdict = await contract(server), "kept"
        except Exception as error:  # noqa: BLE001  whatever it is, it is what the table is for
            seen, verdict, kept = f"{type(error).__name__}: {error}", "BROKEN", False
            traceback.print_exception(error)
        _say(f"{name:<22} {verdict:<7} {time.monotonic() - began:6.1f} s  {seen}")
    return kept


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Build, serve, hold; the exit code."""
    parser = argparse.ArgumentParser(
        description="Hold our client's contracts against a real llama.cpp server."
    )
    parser.add_argument("--venv", type=Path, help="environment of the server; made if it is not there")
    parser.add_argument("contracts", nargs="*", metavar="CONTRACT", help=f"some of {', '.join(CONTRACTS)}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = make_venv(arguments.venv or Path(folder) / "venv")
        ours = importlib.metadata.version("aiohttp")
        _say(f"{', '.join(PINNED)}; our side: Python {sys.version.split()[0]}, aiohttp {ours}\n")
        with serving(python, Path(folder)) as server:
            kept = anyio.run(hold_all, server, arguments.contracts, backend_options={"use_uvloop": True})
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
