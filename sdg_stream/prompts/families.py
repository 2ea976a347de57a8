"""Chat templates by the name of a model family, loaded when first asked for.

A family is one file with a function ``render(messages, add_generation_prompt=True) -> str``. Packages publish
theirs under the entry point group ``sdg_stream.templates``, by the family's name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast

__all__ = [
    "DEFAULT_FAMILY",
    "FAMILIES",
    "GROUP",
    "ChatTemplate",
    "chat_template",
    "known_families",
    "model_family",
]

DEFAULT_FAMILY = "merlinite"
GROUP = "sdg_stream.templates"
FAMILIES = {
    "blank": "sdg_stream.prompts.blank:render",
    "granite": "sdg_stream.prompts.merlinite:render",
    "llama": "sdg_stream.prompts.llama:render",
    "merlinite": "sdg_stream.prompts.merlinite:render",
    "mistral": "sdg_stream.prompts.mixtral:render",
    "mixtral": "sdg_stream.prompts.mixtral:render",
}
"""Built-in families: name to ``module:function``."""


class ChatTemplate(Protocol):
    """Turns messages (``role`` and ``content``) into the text that a completions endpoint wants."""

    def __call__(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """The text of the conversation, ending where the model is to go on."""


def known_families() -> list[str]:
    """Names of all families, those of installed packages included."""
    return sorted(FAMILIES | _published())


def chat_template(family: str) -> ChatTemplate:
    """The chat template of a family.

    Raises:
        ValueError: no such family, or the package that publishes it cannot be loaded.
    """
    if family in FAMILIES:
        module, _, name = FAMILIES[family].partition(":")
        return cast("ChatTemplate", getattr(import_module(module), name))
    if family not in _published():
        raise ValueError(_unknown(family))
    entry = _published()[family]
    try:
        return cast("ChatTemplate", entry.load())
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model family {family!r}: {entry.value} cannot be loaded: {error}") from error


def model_family(family: str | None, model_path: str | None) -> tuple[str, bool]:
    """The family to use, and whether it is only the default because nothing told one.

    A given ``family`` must be known. Otherwise the name that the last part of the model's path begins with
    is tried, in lower case: ``mistralai/Mixtral-8x7B`` is ``mixtral``, but ``Meta-Llama-3`` tells nothing.

    Raises:
        ValueError: ``family`` is not known.
    """
    if family:
        if not _is_known(family):
            raise ValueError(_unknown(family))
        return family, False
    begin = re.match(r"\w*", (model_path or "").rpartition("/")[2])
    guess = begin.group().lower() if begin else ""
    if guess and _is_known(guess):
        return guess, False
    return DEFAULT_FAMILY, True


def _is_known(family: str) -> bool:
    return family in FAMILIES or family in _published()


@cache
def _published() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _unknown(family: str) -> str:
    names = known_families()
    close = difflib.get_close_matches(family.lower(), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown model family {family!r}{hint} (known: {', '.join(names)})"
