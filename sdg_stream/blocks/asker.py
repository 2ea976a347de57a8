"""The calls of one block: which model they name, their shape, and what each one cost."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson

from ..abc import Api, CallShape, Completion, Context, Request
from ..errors import ConfigError, RecordError
from ..record import Record
from .gen_kwargs import GenKwargs, request_params

__all__ = ["Asker", "make_asker", "named_model"]


def named_model(context: Context, model_id: str | None) -> str:
    """The model that the settings name, else the block, else the teacher; empty if none of them does."""
    teacher = context.teacher
    return context.settings.model_id or model_id or (teacher.model if teacher is not None else "")


def make_asker(
    context: Context, model_id: str | None, kwargs: GenKwargs, *, api: Api | None = None, capped: bool = True
) -> Asker:
    """The asker of a block; ``api`` is for blocks that know only one. ``gen_kwargs.model`` beats other names.

    Raises:
        ConfigError: there is a teacher and nobody names a model, or ``gen_kwargs`` make no request.
    """
    teacher = context.teacher
    model = kwargs.model or named_model(context, model_id)
    if teacher is not None and not model:
        raise ConfigError(
            f"{context.name}: no model to ask; name one for the run, or as the block's model_id"
        )
    api = api or (teacher.api if teacher is not None else "completions")
    try:
        shape = CallShape.make(api, request_params(kwargs, model, context, capped=capped))
    except TypeError as error:  # orjson: keys or values that JSON does not have
        raise ConfigError(f"{context.name}: gen_kwargs cannot be sent as JSON: {error}") from error
    return Asker(context, shape)


class Asker:
    """Makes the calls of one block, all of one shape."""

    __slots__ = ("_context", "shape")

    def __init__(self, context: Context, shape: CallShape) -> None:
        self._context = context
        self.shape = shape

    async def ask(self, record: Record, prompt: str | list[dict[str, Any]]) -> Completion:
        """Make one call for a record, and note its cost with the record if somebody wants to know.

        A text becomes one user message where the teacher takes messages. There is at least one choice.

        Raises:
            RecordError: the teacher does not answer this, or sends no choice.
        """
        context, shape = self._context, self.shape
        if context.teacher is None:
            raise RuntimeError(f"{context.name}: made for a check only, without a teacher")
        if shape.api == "chat" and isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        completion = await context.teacher.complete(
            Request(shape, prompt, context.depth, record.root, record.path)
        )
        if record.calls is not None:
            record.calls.append(self._cost(prompt, completion))
        if not completion.choices:
            raise RecordError("unparsed_reply", "the teacher's reply holds no choice")
        return completion

    def _cost(self, prompt: str | list[dict[str, Any]], completion: Completion) -> dict[str, Any]:
        sent = prompt.encode("utf-8", "surrogatepass") if isinstance(prompt, str) else orjson.dumps(prompt)
        return {
            "block": self._context.name,
            "prompt_digest": blake2b(sent, digest_size=8).hexdigest(),
            "model": self.shape.model,
            "endpoint": completion.endpoint,
            "attempts": completion.attempts,
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
        }
