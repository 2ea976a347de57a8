"""``simulate``: serve the simulated teacher until stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import CONTEXT, Command, FilePath, settings_option

__all__ = ["simulate"]


@click.command(cls=Command, context_settings=CONTEXT)
@click.option("--host", default="127.0.0.1", help="Address to listen on; there is no protection on it.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 takes a free one.")
@click.option("--model", default="simulated-teacher", help="The model it lists and answers for.")
@click.option(
    "--api",
    type=click.Choice(["both", "completions", "chat"]),
    default="both",
    help="Which of the two endpoints it has.",
)
@click.option("--seed", type=int, default=0, help="Another seed, other replies and times.")
@click.option("--slots", type=click.IntRange(min=1), default=64, help="Sequences decoded at once.")
@click.option(
    "--latency",
    type=click.Choice(["tokens", "fixed", "lognormal", "zero"]),
    default="tokens",
    help="How long replies take: by their tokens, all alike, long-tailed, nothing.",
)
@click.option(
    "--latency-seconds", type=click.FloatRange(min=0), default=0.2, help="Of fixed; the mean of lognormal."
)
@click.option(
    "--decode-tokens-per-s",
    type=click.FloatRange(min=0, min_open=True),
    default=100.0,
    help="Of each slot, for --latency tokens.",
)
@click.option(
    "--max-model-len", type=click.IntRange(min=1), default=32_768, help="Tokens of prompt and reply."
)
@click.option(
    "--requests-per-second",
    type=click.FloatRange(min=0, min_open=True),
    help="More are answered with 429 and Retry-After.",
)
@click.option("--reply", metavar="TEXT", help="The text of every choice; else made from the prompt.")
@click.option("--faults", type=FilePath, help="YAML file of faults, such as: [{rate: 0.02, fault: 503}]")
@click.option("--log", type=FilePath, help="Add a line of JSON to this file for each call that has ended.")
@settings_option
def simulate(**options: Any) -> None:
    """Serve a simulated teacher: an OpenAI-compatible server without a model behind it.

    Its replies have the form that prompts ask for and realistic timing, but what they say means nothing.
    Stops on Ctrl-C.
    """
    from ..simulator import SimulatorSettings, load_faults
    from .signals import Stopped, run_until_signal

    names = ("host", "port", "api", "faults", "log")
    host, port, api, faults, log = (options.pop(name) for name in names)
    settings = SimulatorSettings(
        apis=("completions", "chat") if api == "both" else (api,),
        faults=load_faults(Path(faults)) if faults else (),
        **options,
    )
    try:
        run_until_signal(lambda: _serve(settings, host, port, Path(log) if log else None), _say)
    except Stopped:
        _say("Stopped.")


async def _serve(settings: Any, host: str, port: int, log: Path | None) -> None:
    import anyio

    from ..simulator.server import serve

    async with serve(settings, host, port, log=log) as server:
        _say(f"SIMULATED teacher {settings.model} at {server.url} (replies are made up). Ctrl-C stops it.")
        _say(f"Try: run full/knowledge --input FILE --output FILE --endpoint-url {server.url}")
        await anyio.sleep_forever()


def _say(text: str) -> None:
    from ..observe.text import one_line

    click.echo(one_line(text), err=True)
