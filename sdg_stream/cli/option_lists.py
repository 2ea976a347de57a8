"""The options that commands share, by what they are about; :mod:`.options` puts them on commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

from .number import NumberOrAuto

__all__ = [
    "BENCHED",
    "CHUNKS",
    "INPUT",
    "JOB_KEEP",
    "KEEP",
    "LIMITS",
    "MAX_REJECT_RATE",
    "PIPELINE",
    "PROBED",
    "SCREEN",
    "STRICT_INPUT",
    "TAXONOMY",
    "TEACHER",
    "Options",
]

Options: TypeAlias = tuple[Callable[[Any], Any], ...]

_PATH = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(min=0, min_open=True)
_PRICE = click.FloatRange(min=0)


def _variable_name(name: str) -> str:
    """Refuse what cannot be a variable's name: it may be the key itself, so it is not repeated."""
    if not name.isidentifier():
        raise click.UsageError(
            "--api-key-env takes the name of an environment variable, such as OPENAI_API_KEY"
            " (what was given is not shown: it may be a key)"
        )
    return name


REACHED: Options = (
    click.option("--model-id", metavar="ID", help="Model to ask; by default the only one that is listed."),
    click.option(
        "--api-key-env",
        default="OPENAI_API_KEY",
        metavar="NAME",
        callback=lambda _ctx, _param, name: _variable_name(name),
        help="Environment variable that holds the API key; unset means no key.",
    ),
    click.option(
        "--api-key", metavar="KEY", help="API key. Others on this machine can see it: prefer --api-key-env."
    ),
    click.option(
        "--api",
        type=click.Choice(["auto", "completions", "chat"]),
        default="auto",
        help="Prompts rendered here, or sent as chat messages.",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="PEM file of the authorities to trust instead of the system's.",
    ),
    click.option(
        "--proxy",
        metavar="URL",
        help="HTTP proxy to go through; auto takes that of the environment, which is not used otherwise.",
    ),
)

PROBED: Options = (
    *REACHED,
    click.option(
        "--stream-replies",
        is_flag=True,
        help="Ask for replies as streams, for proxies that cut connections on which nothing moves.",
    ),
)

_URL = click.option(
    "--endpoint-url",
    multiple=True,
    default=("http://localhost:8000/v1",),
    metavar="URL",
    help="OpenAI-compatible endpoint of the teacher; repeatable for replicas.",
)
_FAMILY = click.option(
    "--model-family", metavar="NAME", help="Chat template family; by default from the model's name."
)
_WAIT_READY = click.option(
    "--wait-ready",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    show_default="60; with --serve 600",
    help="How long to wait for a server that is starting.",
)
_SERVE = click.option(
    "--serve",
    metavar="COMMAND",
    help='Start this server for the run, and stop it afterwards: "vllm serve MODEL".',
)
_TIMEOUT = click.option(
    "--timeout",
    type=_POSITIVE,
    default=600.0,
    metavar="SECONDS",
    help="For one attempt of a call.",
)
_TRANSPORT = click.option(
    "--transport",
    type=click.Choice(["auto", "aiohttp", "lean"]),
    default="auto",
    help="HTTP client; lean costs less, auto takes it unless there is a proxy or replies are streamed.",
)

TEACHER: Options = (
    _URL,
    *PROBED,
    _FAMILY,
    _WAIT_READY,
    _SERVE,
    click.option(
        "--concurrency",
        type=NumberOrAuto(),
        default="auto",
        help="Sequences in flight; auto finds what the servers carry.",
    ),
    click.option("--rpm", type=_POSITIVE, metavar="N", help="Requests a minute at most."),
    click.option(
        "--tpm", type=_POSITIVE, metavar="N", help="Tokens a minute at most, prompts and replies together."
    ),
    _TIMEOUT,
    click.option(
        "--max-attempts", type=click.IntRange(min=1), default=6, metavar="N", help="Attempts for one call."
    ),
    click.option(
        "--max-outage",
        type=_POSITIVE,
        default=120.0,
        metavar="SECONDS",
        help="Without any answer for so long, the teacher is given up.",
    ),
    click.option(
        "--hedge",
        is_flag=True,
        help="With several endpoints: ask another one as well when an attempt takes very long.",
    ),
    _TRANSPORT,
    click.option(
        "--simulate", is_flag=True, help="Ask a simulated teacher in this process: replies are made up."
    ),
)

BENCHED: Options = (
    _URL,
    *REACHED,
    _FAMILY,
    _WAIT_READY,
    _SERVE,
    _TIMEOUT,
    _TRANSPORT,
    click.option(
        "--simulate",
        is_flag=True,
        help="Measure a simulated teacher, in a process of its own: to try it out.",
    ),
)

PIPELINE: Options = (
    click.option(
        "--num-instructions",
        type=click.IntRange(min=1),
        default=30,
        metavar="N",
        help="What `n: scaled` stands for in a pipeline.",
    ),
    click.option(
        "--max-num-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="max_tokens of the block gen_knowledge.",
    ),
)

STRICT_INPUT: Callable[[Any], Any] = click.option(
    "--strict-input", is_flag=True, help="A row in which a key stands twice is a bad one, not a warning."
)

INPUT: Options = (
    STRICT_INPUT,
    click.option(
        "--max-bad-input",
        type=click.IntRange(min=0),
        metavar="N",
        help="End the run when more lines than this are no rows; by default each is just a reject.",
    ),
)

LIMITS: Options = (
    click.option(
        "--target",
        type=click.IntRange(min=1),
        metavar="N",
        help="Stop when N rows are accepted, or a few more.",
    ),
    click.option(
        "--max-candidates", type=click.IntRange(min=1), metavar="N", help="Read at most N input rows for it."
    ),
    click.option(
        "--max-tokens-total",
        type=click.IntRange(min=1),
        metavar="N",
        help="Of all prompts and replies together.",
    ),
    click.option(
        "--max-cost", type=_POSITIVE, metavar="MONEY", help="In the currency of --price-in and --price-out."
    ),
    click.option("--price-in", type=_PRICE, default=0.0, metavar="MONEY", help="Of a million prompt tokens."),
    click.option("--price-out", type=_PRICE, default=0.0, metavar="MONEY", help="Of a million reply tokens."),
    click.option(
        "--max-time", type=_POSITIVE, metavar="SECONDS", help="Start on no more input rows after so long."
    ),
)

_RESUME = click.option(
    "--resume",
    type=click.Choice(["auto", "never", "require"]),
    default="auto",
    help="Go on with what is not finished: where there is any, not at all, or in any case.",
)
_EDITED = click.option(
    "--edited",
    is_flag=True,
    help="Accept that pipeline, model, settings or input have changed: only what that reaches is asked"
    " again, and the new rows replace the old ones at the end.",
)
_RETRY = click.option(
    "--retry-rejected", is_flag=True, help="Run the input rows with rejects again; new rows are added."
)
_NO_CACHE = click.option("--no-cache", is_flag=True, help="Keep no answers, and use none that were kept.")
_FSYNC = click.option(
    "--fsync",
    type=click.Choice(["interval", "always", "never"]),
    default="interval",
    help="Bring rows to the disk once a second, always, or when the system likes.",
)

KEEP: Options = (
    _RESUME,
    _EDITED,
    _RETRY,
    click.option("--overwrite", is_flag=True, help="Forget an existing output and its run."),
    _NO_CACHE,
    click.option(
        "--cache-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Keep answers here, for several outputs to share.",
    ),
    click.option(
        "--import-checkpoint",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Take over the rows that InstructLab's library left here, in data_checkpoint_*.jsonl files.",
    ),
    _FSYNC,
)

JOB_KEEP: Options = (_RESUME, _EDITED, _RETRY, _NO_CACHE, _FSYNC)

TAXONOMY: Options = (
    click.option(
        "--yaml-rules", type=_PATH, metavar="FILE", help="yamllint configuration instead of the default."
    ),
    click.option(
        "--allow-local-repos",
        is_flag=True,
        help="Documents may also come from git repositories on this machine, not only from https://...",
    ),
    click.option(
        "--documents-cache",
        type=_PATH,
        metavar="DIR",
        show_default="sdg-stream/documents in the user's cache folder",
        help="Where commits with documents are kept once they are fetched.",
    ),
)

CHUNKS: Options = (
    click.option(
        "--chunker",
        type=click.Choice(["auto", "markdown", "docling"]),
        default="auto",
        help="What cuts documents into chunks. 'docling' gives the chunks of InstructLab's library and needs"
        " sdg-stream[docling] and --tokenizer; 'auto' is docling if it has both, else markdown.",
    ),
    click.option(
        "--docling-models",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        metavar="DIR",
        show_default="as models/config.yaml in the data directories says",
        help="docling's models, which it needs for PDF; nothing is downloaded.",
    ),
    click.option(
        "--chunk-tokens",
        type=click.IntRange(min=16),
        default=500,
        metavar="N",
        help="Tokens of the longest chunk that documents are cut into, with its headings.",
    ),
    click.option(
        "--tokenizer",
        type=_PATH,
        metavar="PATH",
        help="Counts them: a tokenizer.json, a model's folder with one, or a GGUF file. Without it they are"
        " estimated, within 15 % for European languages and code, 40 % for others.",
    ),
)

MAX_REJECT_RATE: Callable[[Any], Any] = click.option(
    "--max-reject-rate",
    type=click.FloatRange(0, 1),
    default=0.5,
    metavar="R",
    help="Exit with 3 when a larger share of the input rows has rejects.",
)

SCREEN: Options = (
    click.option(
        "--progress",
        type=click.Choice(["auto", "rich", "plain", "json", "none"]),
        default="auto",
        help="A live panel, a line now and then, or JSON events; on stderr.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
        default="info",
        help="debug also shows each reject.",
    ),
    click.option("--log-json", is_flag=True, help="Log lines as JSON."),
)
