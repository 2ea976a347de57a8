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

from .option_lists import (
    BENCHED,
    CHUNKS,
    INPUT,
    JOB_KEEP,
    KEEP,
    LIMITS,
    PIPELINE,
    PROBED,
    SCREEN,
    TAXONOMY,
    TEACHER,
    Options,
)

if TYPE_CHECKING:
    from ..config.yaml import Document
    from ..errors import Problem

__all__ = [
    "CONTEXT",
    "Command",
    "FilePath",
    "allow_path_option",
    "bench_options",
    "chunk_options",
    "endpoint_options",
    "input_options",
    "job_keep_options",
    "keep_options",
    "limit_options",
    "pick",
    "pipeline_options",
    "plugins_option",
    "screen_options",
    "settings_option",
    "taxonomy_options",
    "teacher_options",
]

CONTEXT: dict[str, Any] = {"auto_envvar_prefix": "SDG_STREAM", "show_default": True, "max_content_width": 100}
"""``context_settings`` of every command that takes options from the environment."""

FilePath = click.Path(path_type=Path)

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_NOT_IN_FILES = ("settings", "api_key")


class Command(click.Command):
    """A command whose help lists the shared options under their own headings, and which hides its secrets."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, once it is known what must not be said."""
        if "api_key" in ctx.params:
            from .hidden import hide

            hide(ctx.params)
        return super().invoke(ctx)

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
    for option in reversed(TEACHER):
        function = option(function)
    return function


def bench_options(function: F) -> F:
    """How a teacher is reached that is measured."""
    for option in reversed(BENCHED):
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
    for option in reversed((urls, *PROBED, wait)):
        function = option(function)
    return function


def pipeline_options(function: F) -> F:
    """What the caller of a pipeline decides, beside the pipeline file."""
    for option in reversed(PIPELINE):
        function = option(function)
    return function


def keep_options(function: F) -> F:
    """Options on what to do with an earlier run, and how to keep this one."""
    for option in reversed(KEEP):
        function = option(function)
    return function


def job_keep_options(function: F) -> F:
    """The same for a job of many outputs."""
    for option in reversed(JOB_KEEP):
        function = option(function)
    return function


def input_options(function: F) -> F:
    """What becomes of odd input rows."""
    for option in reversed(INPUT):
        function = option(function)
    return function


def taxonomy_options(function: F) -> F:
    """How qna.yaml files are checked, and where their documents come from."""
    for option in reversed(TAXONOMY):
        function = option(function)
    return function


def chunk_options(function: F) -> F:
    """How documents are cut."""
    for option in reversed(CHUNKS):
        function = option(function)
    return function


def limit_options(function: F) -> F:
    """Where a run ends before its input does."""
    for option in reversed(LIMITS):
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


def allow_path_option(function: F) -> F:
    """``--allow-path DIR``: where else the files may lie that a pipeline names."""
    return click.option(
        "--allow-path",
        multiple=True,
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        metavar="DIR",
        help="Folder outside of the pipeline's own whose files it may name; repeatable.",
    )(function)


def screen_options(function: F) -> F:
    """What is shown while a run goes on."""
    for option in reversed(SCREEN):
        function = option(function)
    return function


def _names(options: Options) -> list[str]:
    """Parameter names of options, read off a command made of them."""

    def nothing() -> None: ...

    for option in options:
        option(nothing)
    return [str(param.name) for param in click.command()(nothing).params]


_SECTION_OF = {
    **dict.fromkeys(_names(TEACHER), "Teacher"),
    **dict.fromkeys(_names(PIPELINE), "Pipeline"),
    **dict.fromkeys(_names(KEEP), "Going on with a run"),
    **dict.fromkeys(_names(INPUT), "Input"),
    **dict.fromkeys(_names(LIMITS), "Targets and budgets (what is in flight then is finished)"),
    **dict.fromkeys(_names(SCREEN), "Screen"),
}


def pick(struct: Callable[..., T], options: Mapping[str, Any]) -> T:
    """A struct from those of the command's options that it has fields for."""
    fields: tuple[str, ...] = struct.__struct_fields__  # type: ignore[attr-defined]
    return struct(**{name: options[name] for name in fields})


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
