"""The calls of one block: which model they name, their shape, how they fit the context, what each cost."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

from ..abc import Api, CallShape, Completion, Context, Request, Teacher
from ..errors import ConfigError, RecordError
from ..record import Record
from .context_room import ContextRoom, prompt_chars
from .gen_kwargs import GenKwargs, request_params

__all__ = ["Asker", "make_asker", "named_model"]

CLIPS = 2  # times that a call is made shorter because the server refused it as too long


def named_model(context: Context, model_id: str | None) -> str:
    """The model that the settings name, else the block, else the teacher; empty if none of them does."""
    teacher = context.teacher
    return context.settings.model_id or model_id or (teacher.model if teacher is not None else "")


def make_asker(
    context: Context,
    model_id: str | None,
    kwargs: GenKwargs,
    *,
    api: Api | None = None,
    capped: bool = True,
    clips: bool = False,
    extra: Mapping[str, Any] | None = None,
    endpoint: str = "",
) -> Asker:
    """The asker of a block. ``gen_kwargs.model`` beats other names.

    Args:
        context: the block's.
        model_id: the model that the block names.
        kwargs: request parameters.
        api: for blocks that know only one.
        capped: whether ``settings.max_num_tokens`` may apply.
        clips: whether ``max_tokens`` is lowered where the context leaves less.
        extra: parameters beyond ``kwargs``.
        endpoint: the pool of endpoints to ask.

    Raises:
        ConfigError: there is a teacher and nobody names a model, or ``gen_kwargs`` make no request.
        TeacherUnusable: no endpoint serves that model.
    """
    teacher = context.teacher
    model = kwargs.model or named_model(context, model_id)
    if teacher is not None and not model:
        raise ConfigError(
            f"{context.name}: no model to ask; name one for the run, or as the block's model_id"
        )
    api = api or (teacher.api if teacher is not None else "completions")
    try:
        params = {**request_params(kwargs, model, context, capped=capped), **(extra or {})}
        shape = CallShape.make(api, _for_chat(params) if api == "chat" else params, endpoint)
    except TypeError as error:  # orjson: keys or values that JSON does not have
        raise ConfigError(f"{context.name}: gen_kwargs cannot be sent as JSON: {error}") from error
    check = getattr(teacher, "check_shape", None)
    if check is not None:
        check(shape)
    return Asker(context, shape, clips=clips)


def _for_chat(params: dict[str, Any]) -> dict[str, Any]:
    """``logprobs`` as the chat API wants it: the number of alternatives is a parameter of its own there."""
    count = params.get("logprobs")
    if type(count) is not int:
        return params
    return {**params, "logprobs": True, "top_logprobs": params.get("top_logprobs", count)}


class Asker:
    """Makes the calls of one block, all of one shape or of shapes like it."""

    __slots__ = ("_clips", "_context", "_room", "shape")

    def __init__(self, context: Context, shape: CallShape, *, clips: bool = False) -> None:
        self._context = context
        self._clips = clips
        self._room = ContextRoom(_limit(context.teacher, shape))
        self.shape = shape

    async def ask(
        self,
        record: Record,
        prompt: str | list[dict[str, Any]],
        shape: CallShape | None = None,
        *,
        longer_than: int = 0,
    ) -> Completion:
        """Make one call, and note its cost with the record if somebody wants to know.

        A text becomes one user message where the teacher takes messages. There is at least one choice.

        Args:
            record: what the call is for.
            prompt: text, or messages.
            shape: another one than the block's.
            longer_than: if given, a reply of more tokens than this is what the call is for: ``max_tokens``
                is clipped to the context's room, but not down to this.

        Raises:
            RecordError: the teacher does not answer this, or sends no choice.
        """
        context, shape = self._context, shape or self.shape
        if context.teacher is None:
            raise RuntimeError(f"{context.name}: made for a check only, without a teacher")
        if shape.api == "chat" and isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        request = Request(shape, prompt, context.depth, record.root, record.path)
        if self._clips or longer_than or self._room.limit is not None:
            completion = await self._fitted(context.teacher, request, longer_than)
        else:
            completion = await context.teacher.complete(request)
        if record.calls is not None:
            record.calls.append(self._cost(prompt, completion))
        if not completion.choices:
            raise RecordError("unparsed_reply", "the teacher's reply holds no choice")
        return completion

    async def _fitted(self, teacher: Teacher, request: Request, longer_than: int) -> Completion:
        """Make a call that fits the context, as far as that can be known or learnt from a refusal."""
        room, clips = self._room, self._clips or longer_than > 0
        chars = prompt_chars(request.prompt)
        tokens = room.fit(chars, request.shape.max_tokens, clips=clips)
        for attempt in range(CLIPS + 1):
            if tokens <= longer_than:
                raise RecordError("context_length", f"the context leaves {tokens} tokens for the reply")
            if tokens != request.shape.max_tokens:
                request = _with_shape(request, request.shape.changed(max_tokens=tokens))
            try:
                completion = await teacher.complete(request)
            except RecordError as error:
                left = room.left(error.server, chars, tokens) if error.reason == "context_length" else None
                if not clips or left is None or attempt == CLIPS:
                    raise
                tokens = left
                continue
            break
        if completion.attempts == 1:  # otherwise the tokens may be those of several calls
            room.learn(chars, completion.prompt_tokens)
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


def _limit(teacher: Teacher | None, shape: CallShape) -> int | None:
    """The context's length of the model that is asked; None if it is another than the teacher's own."""
    if teacher is None or shape.endpoint or shape.model != teacher.model:
        return None
    length: int | None = getattr(teacher, "max_model_len", None)
    return length


def _with_shape(request: Request, shape: CallShape) -> Request:
    return Request(shape, request.prompt, request.depth, request.root, request.path)
