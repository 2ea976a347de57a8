"""A real server with random weights, for a benchmark: which one there is, and how it is started.

vLLM with ``--load-format dummy`` needs no weights; its options are those of its documentation ("vllm
serve"). The prefix cache is off: every prompt is read whole, so that two measurements do the same work. Else
the server of transformers (``transformers serve --continuous-batching``) with weights that are written
before. Neither asks a hub for anything.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import venv
from contextlib import closing
from pathlib import Path

import msgspec
from random_model import MODELS, write_model

from sdg_stream.loadtest.synthetic import WORDS

__all__ = ["KINDS", "VLLM", "NoServer", "Server", "gpu", "install", "prepare"]

HERE = Path(__file__).parent
VLLM = "vllm==0.33.0"
KINDS = ("vllm", "transformers")
INSTALL_SECONDS, WEIGHTS_SECONDS = 3600, 600
HUB_OFF = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


class NoServer(Exception):
    """There is nothing to measure; says what is missing and what to do."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is ready to be started.

    Attributes:
        command: for a shell.
        url: at which it will answer.
        model: what it calls its model.
        about: name and version of the server, and the model.
    """

    command: str
    url: str
    model: str
    about: str


def gpu() -> str:
    """Name, memory and driver of the GPUs, as nvidia-smi tells them; empty without any."""
    if shutil.which("nvidia-smi") is None:
        return ""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    return "; ".join(done.stdout.strip().splitlines()) if done.returncode == 0 else ""


def prepare(folder: Path, *, kind: str, model: str, python: Path, more: str = "") -> Server:
    """Write the model, and say how its server is started.

    Args:
        folder: for the model.
        kind: ``vllm``, ``transformers``, or ``auto`` for the first of them that is there.
        model: one of :data:`random_model.MODELS`.
        python: of the environment that has the server.
        more: further options of the server.

    Raises:
        NoServer: that environment has none.
    """
    versions = _versions(python)
    kind = next(iter(versions), "") if kind == "auto" else kind
    if kind not in versions:
        raise NoServer(
            f"{python} has neither vllm nor transformers with torch: --python names another environment, "
            "--install makes one with vllm, --endpoint-url asks a server that runs already"
        )
    os.environ.update(HUB_OFF)
    write_model(folder, model, WORDS.split())
    port = str(_free_port())
    place = [str(folder), "--host", "127.0.0.1", "--port", port]
    name = f"{model}-random"
    if kind == "vllm":
        command = [str(python), "-m", "vllm.entrypoints.cli.main", "serve", *place, "--load-format", "dummy"]
        command += ["--served-model-name", name, "--no-enable-prefix-caching", "--seed", "0"]
        command += ["--max-model-len", str(MODELS[model]["max_position_embeddings"])]
    else:
        _write_weights(folder, python)
        command = [
            str(python),
            "-m",
            "transformers.cli.transformers",
            "serve",
            *place,
            "--continuous-batching",
        ]
        name = str(folder)
        (folder / "hub").mkdir(exist_ok=True)  # it lists its models from there, and fails if it is not there
        os.environ["HF_HUB_CACHE"] = str(folder / "hub")
    return Server(
        command=f"{shlex.join(command)} {more}".strip(),
        url=f"http://127.0.0.1:{port}/v1",
        model=name,
        about=f"{kind} {versions[kind]}, {model} with random weights",
    )


def install(place: Path) -> Path:
    """The Python of a venv with vLLM, made if it is not there.

    Raises:
        NoServer: pip could not install it.
    """
    python = place / "bin" / "python"
    if _versions(python):
        return python
    print(f"installing {VLLM} in {place}", file=sys.stderr, flush=True)
    venv.create(place, clear=True, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", VLLM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        raise NoServer(f"pip could not install {VLLM}: {(done.stderr.strip() or 'no word').splitlines()[-1]}")
    return python


def _versions(python: Path) -> dict[str, str]:
    """The servers that an environment has, the better one first."""
    if not python.exists():
        return {}
    code = (
        "from importlib.metadata import distributions; "
        "print(*{d.metadata['Name'] + '==' + d.version for d in distributions() if d.metadata['Name']})"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=60, check=False)
    found = dict(word.lower().split("==", 1) for word in done.stdout.split() if "==" in word)
    return {kind: found[kind] for kind in KINDS if kind in found and "torch" in found}


def _write_weights(folder: Path, python: Path) -> None:
    command = [str(python), str(HERE / "random_model.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WEIGHTS_SECONDS, check=False)
    if done.returncode:
        raise NoServer(f"random weights could not be written:\n{done.stderr[-2000:]}")


def _free_port() -> int:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
