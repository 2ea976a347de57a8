"""What ``bench`` does: options to structs, the load test on an event loop, its account and its files."""

from __future__ import annotations

import shlex
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import click
import msgspec

from ..catalog import pipelines_dir
from ..config.settings import Settings
from ..errors import ConfigError, SdgStreamError
from ..events import Event, Notice
from ..loadtest.bench import Asked, Bench, FilePrompts, Listener, PipelinePrompts, Prompts
from ..loadtest.files import RequestLog, as_csv, as_json, check_writable, write_file
from ..loadtest.load import Phases
from ..loadtest.pipeline_trial import Trial
from ..loadtest.results import BenchReport, Setup
from ..loadtest.sweep import Plan
from ..loadtest.synthetic import TokenShape
from ..loadtest.window import Sample
from ..observe.bench_page import bench_page
from ..observe.bench_text import bench_text, level_line, setup_lines
from ..observe.text import one_line
from ..pipeline import Pipeline
from .connection import SIMULATED_TOKENS_PER_S, Reached, started
from .signals import Stopped, run_until_signal

__all__ = ["BenchJob", "perform"]


class BenchJob(Reached, frozen=True, kw_only=True):
    """The options of ``bench``, as they were decided; the API key is not among them."""

    levels: tuple[int, ...] | None
    max_concurrency: int
    duration: float
    warmup: float
    repeat: int
    stream: bool
    prompts: Path | None
    pipeline: str | None
    input: Path | None
    limit: int
    run: bool
    gpus: int
    project: int | None
    durability: bool
    output_dir: Path | None
    prompt_tokens: int
    output_tokens: int
    shared_prefix: int
    json: Path | None
    csv: Path | None
    requests: Path | None
    html: Path | None
    plugins: tuple[Path, ...]
    allow_path: tuple[Path, ...]
    num_instructions: int
    max_num_tokens: int | None
    command: str


def perform(job: BenchJob, api_key: str | None) -> int:
    """Measure, show and write what was measured, and give the exit code.

    Whatever keeps it from coming to its end is raised, after what has been measured has been shown.
    """
    for file in (job.json, job.csv, job.html):
        if file is not None:
            check_writable(file)
    log = RequestLog(job.requests) if job.requests is not None else None
    if job.simulate:
        job = _simulating(job)
    bench = Bench(_asked(job))
    try:
        run_until_signal(lambda: _run(job, bench, api_key, log), _say)
    except Stopped as stopped:
        _close(job, bench.report())
        _say(f"Stopped by {stopped}.")
        return stopped.exit_code
    except SdgStreamError:
        _close(job, bench.report())
        raise
    finally:
        if log is not None:
            log.close()
    _close(job, bench.report())
    return 0


async def _run(job: BenchJob, bench: Bench, api_key: str | None, log: RequestLog | None) -> None:
    async with AsyncExitStack() as stack:
        if job.serve is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sdg-stream-"))
            log_file = Path(folder) / "server.log"
            server = started(job.serve, job.endpoint_url[0], job, api_key, log_file, _tell)
            await stack.enter_async_context(server)
        listener = Listener(
            hook=_tell,
            ready=_ready,
            begins=lambda concurrency, replica: _say(
                f"measuring {concurrency} in flight{_again(replica)} ..."
            ),
            ends=lambda level: _say(f"  {level_line(level)}"),
            samples=log.write if log is not None else _keep_none,
        )
        await bench.run(api_key, listener)


def _simulating(job: BenchJob) -> BenchJob:
    """The job with a command that serves a simulated teacher, and where it will answer.

    A process of its own: on the client's loop it would be measured together with the client.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "sdg_stream", "simulate", "--port", str(port)]
    words += ["--decode-tokens-per-s", str(SIMULATED_TOKENS_PER_S)]
    return msgspec.structs.replace(
        job, serve=shlex.join(words), endpoint_url=(f"http://127.0.0.1:{port}/v1",)
    )


def _asked(job: BenchJob) -> Asked:
    return Asked(
        endpoint_url=job.endpoint_url,
        prompts=_prompts(job),
        plan=Plan(
            levels=job.levels or (),
            most=job.max_concurrency,
            repeat=job.repeat,
            phases=Phases(warmup=job.warmup, duration=job.duration),
        ),
        model_id=job.model_id,
        api=job.api,
        stream=job.stream,
        timeout=job.timeout,
        transport=job.transport,
        ca_file=job.ca_file,
        proxy=job.proxy,
        wait_ready=job.patience,
        simulated=job.simulate,
        command=job.command,
    )


def _prompts(job: BenchJob) -> Prompts:
    """Where the prompts come from; mistakes in a pipeline are found before a server is asked."""
    if job.prompts is not None:
        return FilePrompts(file=job.prompts, max_tokens=job.output_tokens)
    if job.pipeline is None:
        return TokenShape(prompt=job.prompt_tokens, output=job.output_tokens, shared=job.shared_prefix)
    _load(job, job.pipeline, job.model_id)
    name = job.pipeline
    trial = Trial(gpus=job.gpus, project=job.project, durability=job.durability, folder=job.output_dir)
    return PipelinePrompts(
        load=lambda model: _load(job, name, model),
        rows=job.input or _seeds(name),
        limit=job.limit,
        trial=trial if job.run else None,
    )


def _load(job: BenchJob, name: str, model: str | None) -> Pipeline:
    settings = Settings(
        model_id=model,
        model_family=job.family,
        num_instructions=job.num_instructions,
        max_num_tokens=job.max_num_tokens,
        provenance=job.run,  # tells which calls a row comes from
    )
    return Pipeline.load(name, settings, plugins=job.plugins, allow_paths=job.allow_path)


def _seeds(pipeline: str) -> Path:
    """The sample seeds of a shipped pipeline.

    Raises:
        ConfigError: it has none.
    """
    found = pipelines_dir() / "examples" / "seeds" / f"{Path(pipeline).stem}.jsonl"
    if not found.exists():
        raise ConfigError(f"which rows is {pipeline} to make prompts of? --input FILE")
    return found


def _close(job: BenchJob, report: BenchReport | None) -> None:
    """Show and write what has been measured."""
    if report is None:
        _say("Nothing was measured.")
        return
    click.echo(bench_text(report))
    if job.json is not None:
        write_file(job.json, as_json(report))
    if job.csv is not None:
        write_file(job.csv, as_csv(report))
    if job.html is not None:
        write_file(job.html, bench_page(report).encode())


def _ready(setup: Setup) -> None:
    if setup.simulated:
        _say("the teacher is SIMULATED: this measures no model")
    for line in setup_lines(setup):
        _say(line)


def _again(replica: int) -> str:
    return f", replica {replica}" if replica > 1 else ""


def _keep_none(_concurrency: int, _samples: Sequence[Sample]) -> None:
    """Nobody wants the single requests."""


def _tell(event: Event, /) -> None:
    if isinstance(event, Notice):
        _say(event.message)


def _say(words: str) -> None:
    click.echo(("  " if words.startswith("  ") else "") + one_line(words), err=True)
