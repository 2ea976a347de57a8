"""A teacher that says what a test wants it to say, without any server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from anyio.lowlevel import checkpoint

from ..abc import Api, Choice, Completion, Request

__all__ = ["Reply", "ScriptedTeacher", "prompt_text"]

Reply: TypeAlias = str | Sequence[str | Choice] | Choice | Completion | BaseException
"""One answer: a text or choice for every choice, one for each, a whole completion, or what is raised."""


class ScriptedTeacher:
    """Answers requests from a function of the request, or from a list in the order of the calls.

    ``requests`` holds every request that was made, in order. A call beyond the end of the list is an
    AssertionError. Tokens are counted as words. ``max_model_len`` and ``structured`` are what blocks may
    want to know of a server.

        teacher = ScriptedTeacher(lambda request: f"[Answer] {len(prompt_text(request))} [End]")
        teacher = ScriptedTeacher(["first reply", ["one choice", "another"], RecordError("refused", "")])
    """

    def __init__(
        self,
        replies: Callable[[Request], Reply] | Iterable[Reply],
        *,
        model: str = "scripted",
        api: Api = "completions",
        slots: int = 64,
        max_model_len: int | None = None,
        structured: Literal["response_format", "guided_json", "structured_outputs"] = "response_format",
    ) -> None:
        self._reply = replies if callable(replies) else _one_by_one(iter(replies))
        self.requests: list[Request] = []
        self.model = model
        self.api: Api = api
        self.slots = slots
        self.max_model_len = max_model_len
        self.structured = structured

    async def complete(self, request: Request) -> Completion:
        """Answer one request, after giving other tasks a turn."""
        await checkpoint()
        self.requests.append(request)
        reply = self._reply(request)
        if isinstance(reply, BaseException):
            raise reply
        if isinstance(reply, Completion):
            return reply
        replies = [reply] * request.shape.n if isinstance(reply, str | Choice) else reply
        choices = [one if isinstance(one, Choice) else Choice(one, "stop") for one in replies]
        return Completion(
            choices=choices,
            prompt_tokens=len(prompt_text(request).split()),
            completion_tokens=sum(len(choice.text.split()) for choice in choices),
            endpoint="scripted",
        )


def prompt_text(request: Request) -> str:
    """The text of a request's prompt, or of its messages' contents, one below the other."""
    if isinstance(request.prompt, str):
        return request.prompt
    return "\n".join(str(message.get("content", "")) for message in request.prompt)


def _one_by_one(replies: Iterator[Reply]) -> Callable[[Request], Reply]:
    def reply(request: Request) -> Reply:
        try:
            return next(replies)
        except StopIteration:
            raise AssertionError(f"no reply left for the prompt {prompt_text(request)[:200]!r}") from None

    return reply
