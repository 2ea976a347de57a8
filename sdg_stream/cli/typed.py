"""What was typed: the key that it names, what is worth a word about it, and how to type it again."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import click
from click.core import ParameterSource

from .hidden import without_hidden

__all__ = ["again", "api_key", "notes"]

_LEFT_OUT = frozenset({"--overwrite", "--retry-rejected"})  # a second time they would undo or repeat
_LEFT_OUT_WITH_VALUE = frozenset({"--api-key", "--resume"})


def again(command: str) -> str:
    """The command that goes on, for a shell: as it was typed, but for secrets and for what is done once."""
    from .demo import own_command

    words, value_of_left_out = [command], False
    for word in sys.argv[2:]:
        option, has_value, _ = word.partition("=")
        if not value_of_left_out and option not in _LEFT_OUT and option not in _LEFT_OUT_WITH_VALUE:
            words.append(word)
        value_of_left_out = option in _LEFT_OUT_WITH_VALUE and not has_value
    return " ".join([own_command(), *(shlex.quote(without_hidden(word)) for word in words)])


def api_key(options: dict[str, Any]) -> str | None:
    """The key itself: never shown, never kept in a struct that could be printed."""
    if options.get("simulate"):
        return None
    return options["api_key"] or os.environ.get(options["api_key_env"]) or None


def notes(ctx: click.Context, options: dict[str, Any], *, demo: bool = False) -> tuple[tuple[str, str], ...]:
    """What is worth a word about the options themselves: level and words."""
    found = []
    if options["simulate"] and not demo:  # which says so itself
        found.append(("info", "the teacher is SIMULATED: its replies have the right form and mean nothing"))
    if ctx.get_parameter_source("api_key") is ParameterSource.COMMANDLINE:
        found.append(
            ("warning", "others on this machine can see a key on the command line; use --api-key-env")
        )
    chosen_key = ctx.get_parameter_source("api_key_env") is not ParameterSource.DEFAULT
    if chosen_key and not options["simulate"] and not api_key(options):
        found.append(("warning", "the variable that --api-key-env names is not set: calls go without a key"))
    for name in ("batch_size", "num_cpus"):
        if options[name] is not None:
            option = name.replace("_", "-")
            found.append(("info", f"--{option} is ignored: rows stream through all blocks at once"))
    return tuple(found)
