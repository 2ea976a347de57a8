"""The teacher client: the one retry loop of the package, over admission, endpoints and a backend.

A call holds a slot only while an attempt is under way: pauses between attempts are spent without one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import anyio
import orjson

from ..abc import Api, Backend, CallShape, Choice, Completion, HttpReply, Request
from ..errors import (
    AttemptError,
    ConnectFailed,
    RecordError,
    RequestRefused,
    TeacherUnusable,
)
from ..events import TeacherReport
from .admission import Admission
from .retry import RetryPolicy, retry_delay
from .wire import Decoded, decode_reply, encode_request, failure

__all__ = ["Endpoint", "TeacherClient"]

_PATHS: dict[Api, str] = {"completions": "/completions", "chat": "/chat/completions"}
CHARS_PER_TOKEN = 4  # for servers that do not say what they used


class Endpoint:
    """One replica of the teacher."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.in_flight = 0


class TeacherClient:
    """Implements :class:`~sdg_stream.abc.Teacher` over any number of endpoints that serve the same model.

    Make one with :func:`~sdg_stream.teacher.connect.connect`, which looks at the endpoints first.
    """

    def __init__(
        self,
        backend: Backend,
        endpoints: Sequence[Endpoint],
        *,
        model: str = "",
        api: Api = "completions",
        honours_n: bool = True,
        models: Sequence[str] = (),
        concurrency: int = 64,
        policy: RetryPolicy | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.api: Api = api
        self.models = tuple(models)
        self.honours_n = honours_n
        self._backend = backend
        self._endpoints = list(endpoints)
        self._policy = policy or RetryPolicy()
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._secrets = tuple(secrets)
        self._admission = Admission(concurrency)
        self._single: dict[bytes, CallShape] = {}
        self._calls = 0
        self._attempts = 0
        self._failures: dict[str, int] = {}
        self._given_up = 0
        self._given_up_in_row = 0
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._estimated = False
        self._first_call: float | None = None
        self._last_reply = 0.0

    @property
    def slots(self) -> int:
        """How many sequences may be in flight."""
        return self._admission.limit

    @property
    def tokens_used(self) -> tuple[int, int]:
        """Prompt tokens and reply tokens so far."""
        return self._prompt_tokens, self._completion_tokens

    async def complete(self, request: Request) -> Completion:
        """Make one call; see :class:`~sdg_stream.abc.Teacher`."""
        self._calls += 1
        if self._first_call is None:
            self._first_call = time.monotonic()
        if request.shape.n > 1 and not self.honours_n:
            return await self._one_by_one(request)
        completion = await self._ask(request)
        while len(completion.choices) < request.shape.n:
            missing = request.shape.n - len(completion.choices)
            rest = await self._ask(_reshaped(request, self._with_n(request.shape, missing)))
            completion = _joined([completion, rest])
        return completion

    async def get(self, endpoint: Endpoint, path: str, seconds: float) -> HttpReply:
        """A GET below an endpoint's URL, as it is: no retry, no slot."""
        url = endpoint.url + path
        return await self._backend.send("GET", url, None, headers=self._headers, timeout=seconds)

    async def post(self, endpoint: Endpoint, shape: CallShape, body: bytes, seconds: float) -> bytes:
        """One attempt: the body of a 200 reply, no retry, no slot.

        Raises:
            AttemptError: anything else.
        """
        url = endpoint.url + _PATHS[shape.api]
        reply = await self._backend.send("POST", url, body, headers=self._headers, timeout=seconds)
        if reply.status != 200:
            raise self.failure(reply)
        return reply.body

    def failure(self, reply: HttpReply) -> AttemptError:
        """What a reply that is not a 200 says, without secrets."""
        return failure(reply, self._secrets)

    def report(self) -> TeacherReport:
        """The account so far."""
        opened = 0.0 if self._first_call is None else self._last_reply - self._first_call
        return TeacherReport(
            model=self.model,
            api=self.api,
            endpoints=tuple(endpoint.url for endpoint in self._endpoints),
            calls=self._calls,
            attempts=self._attempts,
            failed_calls=self._given_up,
            failures=dict(self._failures),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            tokens_estimated=self._estimated,
            in_flight=self._admission.in_use,
            slots=self._admission.limit,
            busy_slot_seconds=self._admission.busy_slot_seconds,
            open_seconds=max(0.0, opened),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._backend.aclose()

    # ------------------------------------------------------------ the retry loop

    async def _ask(self, request: Request) -> Completion:
        shape, policy, admission = request.shape, self._policy, self._admission
        body = encode_request(request)
        attempt, free_retry = 1, True
        started = 0.0
        while True:
            await admission.acquire(request.depth, request.root, shape.n)
            endpoint = self._least_loaded()
            endpoint.in_flight += 1
            started = started or time.monotonic()
            try:
                self._attempts += 1
                reply = await self.post(endpoint, shape, body, policy.deadline(attempt))
                decoded = decode_reply(reply, shape)
                self._given_up_in_row = 0
                self._last_reply = time.monotonic()
                return self._completion(decoded, body, attempt, endpoint, self._last_reply - started)
            except AttemptError as caught:
                error = caught
            finally:
                endpoint.in_flight -= 1
                admission.release(shape.n)
            if isinstance(error, ConnectFailed) and error.stale and free_retry:
                free_retry = False  # the idle connection had been closed: the server never read the request
                continue
            kind = f"HTTP {error.status}" if error.status >= 400 else type(error).__name__
            self._failures[kind] = self._failures.get(kind, 0) + 1
            pause = retry_delay(policy, error, attempt, random.random())
            if pause is None:
                self._give_up(error, attempt, started)
            attempt += 1
            await anyio.sleep(pause)

    def _give_up(self, error: AttemptError, attempts: int, started: float) -> NoReturn:
        """End the call: as its record's fault, or as the teacher's.

        Raises:
            RecordError: others may still be answered.
            TeacherUnusable: they may not.
        """
        self._given_up += 1
        if isinstance(error, RequestRefused):
            if error.status in {401, 403, 404, 405}:
                raise TeacherUnusable(_refusal(error, self._endpoints[0].url)) from error
            raise RecordError(
                "request_refused",
                f"the teacher refused the request (HTTP {error.status})",
                server=error.message,
            ) from error
        self._given_up_in_row += 1
        down = isinstance(error, ConnectFailed) and self._last_reply < started
        if down or self._given_up_in_row >= max(10, self._admission.limit):
            raise TeacherUnusable(
                f"the teacher at {self._endpoints[0].url} keeps failing; after {attempts} attempts the last "
                f"call ended with: {error.message}"
            ) from error
        raise RecordError(
            "teacher_failed", f"{attempts} attempts failed, the last one with: {error.message}"
        ) from error

    def _least_loaded(self) -> Endpoint:
        if len(self._endpoints) == 1:
            return self._endpoints[0]
        return min(self._endpoints, key=lambda endpoint: endpoint.in_flight)

    def _completion(
        self, decoded: Decoded, body: bytes, attempts: int, endpoint: Endpoint, seconds: float
    ) -> Completion:
        tokens = decoded.tokens
        if tokens is None:
            self._estimated = True
            chars = sum(len(choice.text) for choice in decoded.choices)
            tokens = (len(body) // CHARS_PER_TOKEN, chars // CHARS_PER_TOKEN)
        self._prompt_tokens += tokens[0]
        self._completion_tokens += tokens[1]
        return Completion(decoded.choices, tokens[0], tokens[1], attempts, endpoint.url, seconds)

    # ------------------------------------------------------------ servers that give fewer choices than asked

    async def _one_by_one(self, request: Request) -> Completion:
        """``n`` requests of one choice each, side by side, for a server that ignores ``n``."""
        n = request.shape.n
        found: list[Completion | None] = [None] * n
        failed: list[RecordError] = []

        async def one(index: int) -> None:
            shape = self._with_n(request.shape, 1, seed_offset=index)
            try:
                found[index] = await self._ask(_reshaped(request, shape))
            except RecordError as error:
                failed.append(error)

        try:
            async with anyio.create_task_group() as tasks:
                for index in range(n):
                    tasks.start_soon(one, index)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        came = [completion for completion in found if completion is not None]
        if not came:
            raise failed[0]
        return _joined(came)

    def _with_n(self, shape: CallShape, n: int, seed_offset: int = 0) -> CallShape:
        """The same shape for another number of choices; a fixed seed moves along, as choices' seeds do."""
        key = b"%d %d " % (n, seed_offset) + shape.head
        found = self._single.get(key)
        if found is None:
            if len(self._single) > 1000:
                self._single.clear()
            params: dict[str, Any] = orjson.loads(shape.head + b"null}")
            params.pop("prompt", None)
            params.pop("messages", None)
            params["n"] = n
            if params.get("seed") is not None:
                params["seed"] += seed_offset
            found = self._single[key] = CallShape.make(shape.api, params)
        return found


def _reshaped(request: Request, shape: CallShape) -> Request:
    return Request(shape, request.prompt, request.depth, request.root, request.path)


def _joined(parts: Sequence[Completion]) -> Completion:
    """Several completions of one request as one."""
    choices: list[Choice] = [choice for part in parts for choice in part.choices]
    return Completion(
        choices,
        sum(part.prompt_tokens for part in parts),
        sum(part.completion_tokens for part in parts),
        sum(part.attempts for part in parts),
        parts[0].endpoint,
        max(part.seconds for part in parts),
    )


def _refusal(error: AttemptError, url: str) -> str:
    advice = {
        401: "set the API key in the variable that --api-key-env names",
        403: "this key may not use this model or endpoint",
        404: "check the model's name and that the URL ends where the API begins, usually in /v1",
        405: "check that the URL ends where the API begins, usually in /v1",
    }[error.status]
    return f"{url} answered {error.message}; {advice}"
