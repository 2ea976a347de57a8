"""How a rendered prompt becomes the text that a completions endpoint wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..abc import Context
from ..errors import ConfigError, RecordError
from ..prompts.families import chat_template, model_family
from ..prompts.template import TemplateMistake, compile_template

__all__ = ["Wrapper", "chat_wrapper"]

Wrapper: TypeAlias = Callable[[str], str]
"""From a rendered prompt to the text to send; ``str`` leaves it as it is."""


def chat_wrapper(
    context: Context, *, family: str | None, model_prompt: str | None, model: str, used: bool
) -> Wrapper:
    """The wrapper of a block: ``model_prompt`` if given (empty: none at all), else the family's template.

    What is wrong is found also where the wrapper is not ``used``, which gives ``str``.

    Raises:
        ConfigError: the family is not known, or ``model_prompt`` cannot be rendered.
    """
    try:
        name, guessed = model_family(context.settings.model_family or family, model)
        wrapper = _family_wrapper(name) if model_prompt is None else _own_wrapper(model_prompt)
    except ValueError as error:
        raise ConfigError(f"{context.name}: {error}") from error
    if not used:
        return str
    if guessed and model_prompt is None:
        words = f"{model!r} tells no model family: prompts are wrapped for {name}; see --model-family"
        context.warn("default_family", words, of_run=True)
    return wrapper


def _family_wrapper(family: str) -> Wrapper:
    template = chat_template(family)
    return lambda prompt: template([{"role": "user", "content": prompt}]).strip()


def _own_wrapper(source: str) -> Wrapper:
    if not source:
        return str
    try:
        template = compile_template(source)
    except TemplateMistake as mistake:
        raise ValueError(f"model_prompt, line {mistake.line}: {mistake}") from mistake

    def wrap(prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        return template.render({"prompt": prompt, "messages": messages, "add_generation_prompt": True})

    try:
        wrap("a prompt")
    except RecordError as error:
        known = "it can use prompt, messages and add_generation_prompt"
        raise ValueError(f"model_prompt cannot be rendered ({known}): {error.message}") from error
    return wrap
