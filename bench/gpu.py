"""On a real server: what ``bench`` finds that it gives, and which share of that a pipeline gets.

    python bench/gpu.py --python /path/to/env/bin/python --write       # an environment that has vllm
    python bench/gpu.py --install --write                              # makes one below --venvs first: 10 GB
    python bench/gpu.py --endpoint-url http://host:8000/v1             # a server that runs already
    python bench/gpu.py --any-device --model tiny --prompt-tokens 64 --output-tokens 16 --levels 1,4

Starts vLLM, or else the server of transformers, with a real architecture and random weights (nothing is
asked of a hub), and runs ``bench --pipeline`` on it with four stages that take every reply: a sweep with the
prompts of the first stage, the pipeline at the concurrency that the sweep recommends, and a plain closed loop
that asks the pipeline's own prompts again. One JSON line at the end, with bench's report in it. ``--write``
adds an entry to the results. Without a GPU it says so and ends with 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import gpu_servers
import msgspec
from gpu_pipeline import write_pipeline, write_rows
from gpu_report import Result, entry, with_earlier
from random_model import MODELS
from results_file import RESULTS, write_part

import sdg_stream as sdg
from sdg_stream.cli.serve import serving
from sdg_stream.events import Notice
from sdg_stream.loadtest.results import BenchReport
from sdg_stream.loadtest.synthetic import TokenShape

HERE = Path(__file__).parent
NO_GPU = (
    "there is no GPU here: nvidia-smi is not there, or finds none. --endpoint-url measures a server that "
    "runs elsewhere; --any-device starts one all the same, to try this script out"
)


def main() -> int:
    """Measure, print, write."""
    options = _parser().parse_args()
    options.venvs = options.venvs.resolve()
    hardware = gpu_servers.gpu()
    if not (hardware or options.endpoint_url or options.any_device):
        print(f"bench/gpu.py: {NO_GPU}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = anyio.run(
                _measure, options, hardware, Path(folder), backend_options={"use_uvloop": True}
            )
        except (gpu_servers.NoServer, sdg.SdgStreamError) as error:
            print("bench/gpu.py:", error, *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
            return 1
    print(msgspec.json.encode(result).decode())
    if options.write:
        file: Path = options.results
        earlier = file.read_text(encoding="utf-8") if file.exists() else ""
        write_part(file, "gpu", with_earlier(entry(result), earlier))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--endpoint-url", help="base URL of a server that runs already; none is started")
    parser.add_argument("--model-id", help="model to ask there, if it has several")
    parser.add_argument("--server", choices=["auto", *gpu_servers.KINDS], default="auto")
    parser.add_argument("--model", choices=[*MODELS], default="llama-1b", help="whose size the server's has")
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="of the server's environment"
    )
    parser.add_argument("--install", action="store_true", help=f"make one with {gpu_servers.VLLM}")
    parser.add_argument("--venvs", type=Path, default=HERE / ".venvs", help="folder of such environments")
    parser.add_argument("--server-options", default="", help="more of them, as one would type them")
    parser.add_argument("--any-device", action="store_true", help="start a server without a GPU, too")
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--output-tokens", type=int, default=128)
    parser.add_argument("--levels", help="exactly these concurrencies, separated by commas")
    parser.add_argument("--max-concurrency", type=int, default=1024)
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of each window")
    parser.add_argument("--warmup", type=float, default=5.0, help="seconds before each window")
    parser.add_argument("--rows", type=int, default=10_000, help="of the pipeline's input")
    parser.add_argument("--write", action="store_true", help="add an entry to the results")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser


async def _measure(options: argparse.Namespace, hardware: str, folder: Path) -> Result:
    """Run ``bench`` on the server."""
    size = TokenShape(prompt=options.prompt_tokens, output=options.output_tokens)
    pipeline, rows = write_pipeline(folder, size), write_rows(folder / "rows.jsonl", options.rows, size)
    async with _server(options, folder) as server:
        words = ["bench", "--endpoint-url", server.url, "--pipeline", str(pipeline), "--input", str(rows)]
        words += ["--limit", str(options.rows)]
        words += ["--model-id", server.model] if server.model else []
        words += ["--concurrency", options.levels] if options.levels else []
        words += ["--max-concurrency", str(options.max_concurrency)]
        words += ["--duration", str(options.duration), "--warmup", str(options.warmup)]
        report = await _bench(words, folder / "bench.json")
    if report.pipeline is None:
        raise gpu_servers.NoServer("the pipeline was not run: the sweep recommends no concurrency")
    typed = shlex.join(["python", "-m", "sdg_stream", *words])
    return Result(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        hardware=hardware or "no GPU on the machine that measured",
        server=server.about or f"{report.setup.server or 'unknown server'}, {report.setup.model}",
        versions=_versions(),
        commands=tuple(_shown([server.command, typed], server, folder)),
        report=report,
    )


@asynccontextmanager
async def _server(options: argparse.Namespace, folder: Path) -> AsyncIterator[gpu_servers.Server]:
    """The server that is measured: started, unless its URL was given."""
    if options.endpoint_url:
        yield gpu_servers.Server(command="", url=options.endpoint_url, model=options.model_id or "", about="")
        return
    python = gpu_servers.install(options.venvs / "vllm") if options.install else options.python
    server = gpu_servers.prepare(
        folder / "model", kind=options.server, model=options.model, python=python, more=options.server_options
    )
    async with serving(server.command, server.url, folder / "server.log", hook=_tell):
        yield server


async def _bench(words: Sequence[str], file: Path) -> BenchReport:
    """Run ``python -m sdg_stream bench``, and read what it wrote."""
    command = [sys.executable, "-m", "sdg_stream", *words, "--json", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = await anyio.run_process(command, stdout=sys.stderr, stderr=None, env=environment, check=False)
    if done.returncode:
        raise gpu_servers.NoServer(f"bench ended with {done.returncode}")
    return msgspec.json.decode(await anyio.Path(file).read_bytes(), type=BenchReport)


def _versions() -> str:
    python = platform.python_version()
    return f"sdg_stream {sdg.__version__}, Python {python}, {os.cpu_count()} CPU cores"


def _tell(event: object) -> None:
    if isinstance(event, Notice):
        print(event.message, file=sys.stderr, flush=True)


def _shown(commands: Sequence[str], server: gpu_servers.Server, folder: Path) -> list[str]:
    """Commands as others would type them: without this machine's folders."""
    names = {server.url: "URL", str(folder / "model"): "MODEL", str(folder) + os.sep: ""}
    found = []
    for command in filter(None, commands):
        shown = command
        for told, name in names.items():
            shown = shown.replace(told, name)
        python, rest = shown.split(" ", 1)
        found.append(f"{Path(python).name} {rest}")
    return found


if __name__ == "__main__":
    sys.exit(main())
