"""Options that commands share, and the three places that one can come from.

The command line wins over the environment (``SDG_STREAM_`` and the option's name), which wins over the YAML
file given by ``--settings``, whose keys are the option names with underscores. Click knows the precedence;
what is added here is that a mistake in the file is found, with its line and the nearest key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .number import NumberOrAuto

if TYPE_CHECKING:
    from ..config.yaml import Document
    from ..errors import Problem

__all__ = [
    "CONTEXT",
    "Command",
    "FilePath",
    "endpoint_options",
    "limit_options",
    "pick",
    "pipeline_options",
    "plugins_option",
    "screen_options",
    "settings_option",
    "teacher_options",
]

CONTEXT: dict[str, Any] = {"auto_envvar_prefix": "SDG_STREAM", "show_default": True, "max_content_width": 100}
"""``context_settings`` of every command that takes options from the environment."""

FilePath = click.Path(path_type=Path)

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_NOT_IN_FILES = ("settings", "api_key")


class Command(click.Command):
    """A command whose help lists the shared options under their own headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, in sections."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(_SECTION_OF.get(str(param.name), "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def settings_option(function: F) -> F:
    """``--settings FILE``: a YAML file that any other option can stand in."""
    return click.option(
        "--settings",
        type=FilePath,
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_load_settings,
        help="YAML file of options, their names with underscores; {model_id: m} is --model-id m.",
    )(function)


def teacher_options(function: F) -> F:
    """How the teacher is reached and asked."""
    for option in reversed(_TEACHER):
        function = option(function)
    return function


def endpoint_options(function: F) -> F:
    """The endpoints to look at, if any, and how they are reached."""
    wait = click.option(
        "--wait-ready",
        type=click.FloatRange(min=0),
        default=0.0,
        metavar="SECONDS",
        help="How long to wait for a server that is starting.",
    )
    urls = click.option(
        "--endpoint-url",
        multiple=True,
        metavar="URL",
        help="Also look whether this endpoint can be used; repeatable.",
    )
    for option in reversed((urls, *_PROBED, wait)):
        function = option(function)
    return function


def pipeline_options(function: F) -> F:
    """What the caller of a pipeline decides, beside the pipeline file."""
    for option in reversed(_PIPELINE):
        function = option(function)
    return function


def limit_options(function: F) -> F:
    """Where a run ends before its input does."""
    for option in reversed(_LIMITS):
        function = option(function)
    return function


def plugins_option(function: F) -> F:
    """``--plugins DIR``: where a pipeline's ``module:Class`` blocks may come from."""
    return click.option(
        "--plugins",
        multiple=True,
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        metavar="DIR",
        help="Folder that blocks named module:Class may be imported from; repeatable.",
    )(function)


def screen_options(function: F) -> F:
    """What is shown while a run goes on."""
    for option in reversed(_SCREEN):
        function = option(function)
    return function


_PROBED: tuple[Callable[[Any], Any], ...] = (
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
    click.option(
        "--stream-replies",
        is_flag=True,
        help="Ask for replies as streams, for proxies that cut connections on which nothing moves.",
    ),
)

_POSITIVE = click.FloatRange(min=0, min_open=True)

_TEACHER: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--endpoint-url",
        multiple=True,
        default=("http://localhost:8000/v1",),
        metavar="URL",
        help="OpenAI-compatible endpoint of the teacher; repeatable for replicas.",
    ),
    *_PROBED,
    click.option(
        "--model-family", metavar="NAME", help="Chat template family; by default from the model's name."
    ),
    click.option(
        "--wait-ready",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        show_default="60; with --serve 600",
        help="How long to wait for a server that is starting.",
    ),
    click.option(
        "--serve",
        metavar="COMMAND",
        help='Start this server for the run, and stop it afterwards: "vllm serve MODEL".',
    ),
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
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=600.0,
        metavar="SECONDS",
        help="For one attempt of a call.",
    ),
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
    click.option(
        "--transport",
        type=click.Choice(["auto", "aiohttp", "lean"]),
        default="auto",
        help="HTTP client; lean is for plain http:// and costs less, auto takes it where it can.",
    ),
    click.option(
        "--simulate", is_flag=True, help="Ask a simulated teacher in this process: replies are made up."
    ),
)

_PIPELINE: tuple[Callable[[Any], Any], ...] = (
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

_PRICE = click.FloatRange(min=0)

_LIMITS: tuple[Callable[[Any], Any], ...] = (
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

_SCREEN: tuple[Callable[[Any], Any], ...] = (
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


def _names(options: tuple[Callable[[Any], Any], ...]) -> list[str]:
    """Parameter names of options, read off a command made of them."""

    def nothing() -> None: ...

    for option in options:
        option(nothing)
    return [str(param.name) for param in click.command()(nothing).params]


_SECTION_OF = {
    **dict.fromkeys(_names(_TEACHER), "Teacher"),
    **dict.fromkeys(_names(_PIPELINE), "Pipeline"),
    **dict.fromkeys(_names(_LIMITS), "Targets and budgets (what is in flight then is finished)"),
    **dict.fromkeys(_names(_SCREEN), "Screen"),
}


def pick(struct: Callable[..., T], options: Mapping[str, Any]) -> T:
    """A struct from those of the command's options that it has fields for."""
    fields: tuple[str, ...] = struct.__struct_fields__  # type: ignore[attr-defined]
    return struct(**{name: options[name] for name in fields})


def _variable_name(name: str) -> str:
    """Refuse what cannot be a variable's name: it may be the key itself, so it is not repeated."""
    if not name.isidentifier():
        raise click.UsageError(
            "--api-key-env takes the name of an environment variable, such as OPENAI_API_KEY"
            " (what was given is not shown: it may be a key)"
        )
    return name


# ---------------------------------------------------------------- the settings file


def _load_settings(ctx: click.Context, _param: click.Parameter, file: Path | None) -> None:
    """Make the file's values the command's defaults; all mistakes are listed at once."""
    if file is None:
        return
    from ..config.yaml import load_yaml
    from ..errors import ConfigError

    document = load_yaml(file)
    problems: list[Problem] = []
    ctx.default_map = _decode(ctx, document, problems)
    if problems:
        raise ConfigError(problems)


def _decode(ctx: click.Context, document: Document, problems: list[Problem]) -> dict[str, Any]:
    from ..config.decode import unknown_key

    if document.data is None:
        return {}
    if not isinstance(document.data, dict):
        problems.append(document.problem("$", "expected option names and values"))
        return {}
    known = {
        param.name: param
        for param in ctx.command.params
        if isinstance(param, click.Option) and param.name not in _NOT_IN_FILES
    }
    values: dict[str, Any] = {}
    for key, value in document.data.items():
        path = f"$.{key}"
        if key == "api_key":
            problems.append(
                document.problem(path, "a key does not belong in a file; name a variable: api_key_env")
            )
        elif key not in known:
            problems.append(document.problem(path, unknown_key(str(key), [str(name) for name in known])))
        elif value is not None:
            try:
                values[key] = _convert(ctx, known[key], value)
            except click.UsageError as error:
                problems.append(document.problem(path, error.message))
    return values


def _convert(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """A YAML value as the option's type takes it.

    Raises:
        click.UsageError: it does not.
    """
    flag = isinstance(param, click.Option) and param.is_flag
    parts = value if isinstance(value, list) and param.multiple else [value]
    for part in parts:
        if isinstance(part, dict | list):
            raise click.BadParameter("expected a single value")
        if isinstance(part, bool) != flag:
            raise click.BadParameter("expected true or false" if flag else "expected no true or false")
    texts = [part if isinstance(part, bool) else str(part) for part in parts]
    return param.type_cast_value(ctx, texts if param.multiple else texts[0])
