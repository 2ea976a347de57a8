"""What is asked of the teacher and what comes back: a block's call shape, a request, its answer."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal, TypeAlias

import anyio
import msgspec
import orjson

__all__ = ["Api", "CallShape", "Choice", "Completion", "Halt", "Request"]

Api: TypeAlias = Literal["completions", "chat"]


class CallShape(msgspec.Struct, frozen=True, gc=False):
    """What the requests of one block have in common; encoded once, so that a call adds only its prompt.

    ``head`` is the JSON request body up to where the prompt or the messages follow. ``greedy`` says that the
    same request gets the same answer: its temperature is 0. Shapes that only differ in what is asked again
    (seed, tokens, choices) are one ``family``: the head of the first of them. ``endpoint`` names the pool of
    endpoints to ask, empty for the default one.
    """

    api: Api
    model: str
    n: int
    max_tokens: int
    head: bytes
    greedy: bool = False
    family: bytes = b""
    endpoint: str = ""

    @classmethod
    def make(cls, api: Api, params: Mapping[str, Any], endpoint: str = "") -> CallShape:
        """From request parameters as sent: ``model``, ``n``, ``temperature``, ``extra_body`` merged in."""
        body = orjson.dumps(params)[:-1]
        name = b'"prompt":' if api == "completions" else b'"messages":'
        head = body + (b"," if params else b"") + name
        return cls(
            api=api,
            model=str(params.get("model", "")),
            n=int(params.get("n") or 1),
            max_tokens=int(params.get("max_tokens") or 0),
            head=head,
            greedy=params.get("temperature") == 0,
            family=head,
            endpoint=endpoint,
        )

    def changed(self, **changes: Any) -> CallShape:
        """The same family with other parameters; one that is None, and an ``n`` of 1, is not sent."""
        params: dict[str, Any] = orjson.loads(self.head + b"null}")
        params.popitem()  # the prompt
        if "max_tokens" in changes and "max_completion_tokens" in params:
            changes["max_completion_tokens"] = changes["max_tokens"]
        params.update(changes)
        if params.get("n") == 1:
            del params["n"]
        made = CallShape.make(self.api, {key: value for key, value in params.items() if value is not None})
        return msgspec.structs.replace(
            self, n=made.n, max_tokens=made.max_tokens, head=made.head, greedy=made.greedy
        )


class Halt:
    """How a run says that it wants no more attempts, and learns how many are under way.

    Attributes:
        on: no further attempt is to begin.
        running: attempts that are under way now.
    """

    __slots__ = ("_idle", "on", "running")

    def __init__(self) -> None:
        self.on = False
        self.running = 0
        self._idle: anyio.Event | None = None

    def ended(self) -> None:
        """One attempt less is under way."""
        self.running -= 1
        if self._idle is not None and not self.running:
            self._idle.set()

    async def drained(self) -> None:
        """Call off what has not begun, and wait until no attempt is under way."""
        self.on = True
        if self.running:
            self._idle = anyio.Event()
            await self._idle.wait()


class Request(msgspec.Struct, gc=False):
    """One call: a prompt (or chat messages) in a shape, and the record that it is made for.

    ``depth`` is the position of the asking block in its pipeline: slots go to the deepest first, then to
    the oldest ``root``. A run that can be stopped gently sets ``halt``.
    """

    shape: CallShape
    prompt: str | list[dict[str, Any]]
    depth: int = 0
    root: int = 0
    path: tuple[int, ...] = ()
    halt: Halt | None = None
    _key: bytes = b""

    @property
    def key(self) -> bytes:
        """16 bytes that stand for what is sent, and to whom: equal for equal requests of any records."""
        if not self._key:
            shape, prompt = self.shape, self.prompt
            content = (
                prompt.encode("utf-8", "surrogatepass") if isinstance(prompt, str) else orjson.dumps(prompt)
            )
            whom = f"{shape.api} {shape.endpoint}".encode()
            whole = b"%b\0%b\0%b" % (whom, shape.head, content)
            self._key = sha256(whole, usedforsecurity=False).digest()[:16]
        return self._key


class Choice(msgspec.Struct, gc=False):
    """One reply text of a call, exactly as the teacher sent it (null as empty text).

    Attributes:
        text: the answer.
        finish_reason: the server's word (``stop``, ``length``, ``content_filter``, ...).
        reasoning: what the server split off as the model's reasoning.
        refusal: what the model said instead of an answer, where the API tells the two apart.
        logprobs: the choice's ``logprobs`` object as it came, if it was asked for.
    """

    text: str
    finish_reason: str = ""
    reasoning: str = ""
    refusal: str = ""
    logprobs: Any = None


class Completion(msgspec.Struct, gc=False):
    """What came back for one request: its choices in index order, and what it cost.

    ``seconds`` is the wall time from the first attempt to the reply, waiting for a slot not included.
    """

    choices: list[Choice]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    attempts: int = 1
    endpoint: str = ""
    seconds: float = 0.0
