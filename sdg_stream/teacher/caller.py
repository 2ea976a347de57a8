"""The one retry loop of the package: from a request to its reply, with all the waiting that takes.

In this order: the breaker lets the call pass, the rates let it go, a slot is free, the router names an
endpoint, the attempt is made. A call holds a slot only while an attempt is under way. What becomes of each
attempt is told to everybody who decides from it: controller, breaker, rates, router, hedging.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn

import anyio

from ..abc import Backend, Completion, HttpReply, Request
from ..errors import (
    AttemptError,
    ConfigError,
    ConnectFailed,
    Halted,
    RateLimited,
    RecordError,
    RequestRefused,
    TeacherUnusable,
)
from .admission import Admission
from .breaker import Attempt, Breaker
from .controller import Controller
from .hedging import Hedging, hedged
from .rates import Estimates, Rates
from .retry import RetryBudget, RetryPolicy, retry_delay
from .routing import Endpoint, Outcome, Router, outcome_of
from .wire import PATHS, Decoded, decode_reply, encode_request, failure

__all__ = ["Caller"]

CHARS_PER_TOKEN = 4  # for servers that do not say what they used
REFUSED_AT_FIRST = 20  # calls that are refused before any is answered: then all will be


class Caller:
    """Makes calls. Its counters are read for the report."""

    def __init__(
        self,
        backend: Backend,
        router: Router,
        controller: Controller,
        *,
        policy: RetryPolicy,
        breaker: Breaker,
        rates: Rates,
        headers: Mapping[str, str],
        secrets: Sequence[str],
        hedging: Hedging | None = None,
    ) -> None:
        self.router = router
        self.controller = controller
        self.admission = Admission(controller.limit)
        self.policy = policy
        self.breakers = {
            "": breaker
        }  # one for each pool of endpoints: an outage of a judge stops no one else
        self.rates = rates
        self.hedging = hedging
        self.attempts = 0
        self.free_retries = 0
        self.given_up = 0
        self.failures: dict[str, int] = {}
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.estimated = False
        self._backend = backend
        self._headers = dict(headers)
        self._secrets = tuple(secrets)
        self._budget = RetryBudget()
        self._estimates = Estimates()
        self._given_up_in_row = 0
        self._refused_at_first = 0
        self._answered: set[bytes] = (
            set()
        )  # families of shapes that were answered: their parameters are right

    async def call(self, request: Request) -> Completion:
        """Make one call; see :class:`~sdg_stream.abc.Teacher` for what is raised."""
        body = encode_request(request)
        self._budget.called()
        call = _Call(request, body, self.router.key(request))
        while True:
            completion = await self._try(call)
            if completion is not None:
                return completion

    def answered_before(self, family: bytes) -> None:
        """An earlier session was answered: what is refused now is refused for its own sake."""
        self._answered.add(family)

    def breaker_of(self, pool: str) -> Breaker:
        """The breaker of a pool of endpoints."""
        found = self.breakers.get(pool)
        if found is None:
            found = self.breakers[pool] = self.breakers[""].another()
        return found

    # ------------------------------------------------------------ one attempt

    async def _try(self, call: _Call) -> Completion | None:
        """One attempt, from its waiting to its consequences; None if the call is to be tried again."""
        request, shape = call.request, call.request.shape
        breaker = self.breaker_of(shape.endpoint)
        reserved = await self._reserve(call) if self.rates.active else 0.0
        probe = await self._enter(request, breaker, reserved)
        attempt = breaker.begin(call, probe=probe)  # nothing is awaited in between: a probe is never lost
        call.started = call.started or time.monotonic()
        used = 0.0
        try:
            decoded, endpoint = await self._send(call, self.policy.deadline(call.number, shape.max_tokens))
            completion = self._completed(call, attempt, decoded, endpoint)
            used = completion.prompt_tokens + completion.completion_tokens
            return completion
        except AttemptError as caught:
            error = caught
            pause = self._failed(call, attempt, error)
        finally:
            breaker.end(attempt)
            if reserved:
                self.rates.settle(reserved, used)
            self.admission.release(shape.n)
            if self.admission.limit != self.controller.limit:
                self.admission.resize(self.controller.limit)
        if pause:
            await anyio.sleep(pause)
        return None

    async def _enter(self, request: Request, breaker: Breaker, reserved: float) -> bool:
        """Wait for the breaker and for slots, until both let the call pass; whether it is the probe."""
        cost = request.shape.n
        try:
            while True:
                if breaker.blocked and await breaker.passage():
                    self.admission.take(cost)
                    return True
                await self.admission.acquire(request.depth, request.root, cost)
                if not breaker.blocked:
                    return False
                self.admission.release(cost)  # it was closed to all while this call waited for slots
        except BaseException:
            if reserved:
                self.rates.cancel(reserved)
            raise

    async def _reserve(self, call: _Call) -> float:
        """Wait for the rates; gives the tokens that were reserved."""
        shape = call.request.shape
        tokens = self._estimates.guess(shape.family, len(call.body), shape.max_tokens, shape.n)
        wait = self.rates.reserve(time.monotonic(), tokens)
        try:
            if wait > 0:
                await anyio.sleep(wait)
        except BaseException:
            self.rates.cancel(tokens)
            raise
        return tokens

    async def _send(self, call: _Call, seconds: float) -> tuple[Decoded, Endpoint]:
        """An attempt at an endpoint, unless the run is being stopped."""
        halt, shape = call.request.halt, call.request.shape
        if halt is not None and halt.on:
            raise Halted
        endpoint = self.router.pick(
            call.key,
            shape.n,
            time.monotonic(),
            name=shape.endpoint,
            model=shape.model,
            other_than=call.endpoint,
        )
        self.attempts += 1
        if halt is not None:
            halt.running += 1
        try:
            if self.hedging is not None:
                return await self._hedged(call, endpoint, seconds, self.hedging)
            return await self._post(call, endpoint, seconds), endpoint
        finally:
            if halt is not None:
                halt.ended()

    async def _hedged(
        self, call: _Call, endpoint: Endpoint, seconds: float, hedging: Hedging
    ) -> tuple[Decoded, Endpoint]:
        """An attempt, and perhaps one more at another endpoint when it takes long."""
        request, shape = call.request, call.request.shape
        now = time.monotonic()
        patience = hedging.patience(request)
        if patience is None:
            found = await self._sent(call, endpoint, seconds)
            hedging.learn(request, time.monotonic() - now)
            return found

        def second() -> Callable[[], Awaitable[tuple[Decoded, Endpoint]]] | None:
            other = None
            if hedging.allowed():
                other = self.router.pick_second(
                    endpoint, shape.n, time.monotonic(), name=shape.endpoint, model=shape.model
                )
            if other is None:
                return None
            hedging.hedges += 1
            self.attempts += 1
            return lambda: self._sent(call, other, seconds)

        found = await hedged(lambda: self._sent(call, endpoint, seconds), patience, second)
        hedging.learn(request, time.monotonic() - now)
        return found

    async def _sent(self, call: _Call, endpoint: Endpoint, seconds: float) -> tuple[Decoded, Endpoint]:
        return await self._post(call, endpoint, seconds), endpoint

    async def _post(self, call: _Call, endpoint: Endpoint, seconds: float) -> Decoded:
        """One request to one endpoint, and what it means for the endpoint."""
        shape = call.request.shape
        url = endpoint.url + PATHS[shape.api]
        outcome: Outcome = "left"
        began, retry_after = time.monotonic(), None
        try:
            reply = await self._backend.send("POST", url, call.body, headers=self._headers, timeout=seconds)
            self._learn_rates(reply)
            if reply.status != 200:
                raise failure(reply, self._secrets)
            decoded = decode_reply(reply.body, shape)
            outcome = "answered"
            return decoded
        except AttemptError as error:
            outcome, retry_after = outcome_of(error), error.retry_after
            raise
        finally:
            now = time.monotonic()
            seconds = now - began if outcome == "answered" else 0.0
            self.router.done(endpoint, shape.n, outcome, now, seconds=seconds, retry_after=retry_after)
            call.endpoint = endpoint

    def _learn_rates(self, reply: HttpReply) -> None:
        """Servers that tell their limits do so from the first answer on."""
        if self.attempts <= 8 or reply.status != 200 or self.rates.active:
            self.rates.learn(reply.headers, time.monotonic(), status=reply.status)

    # ------------------------------------------------------------ consequences

    def _completed(self, call: _Call, attempt: Attempt, decoded: Decoded, endpoint: Endpoint) -> Completion:
        """An answer: account for it and tell everybody."""
        now = time.monotonic()
        shape, admission = call.request.shape, self.admission
        self._given_up_in_row = 0
        if not self._answered:
            self._refused_at_first = 0
        self._answered.add(shape.family)
        tokens = decoded.tokens
        if tokens is None:
            self.estimated = True
            chars = sum(len(choice.text) for choice in decoded.choices)
            tokens = (len(call.body) // CHARS_PER_TOKEN, chars // CHARS_PER_TOKEN)
        self.prompt_tokens += tokens[0]
        self.completion_tokens += tokens[1]
        if self.rates.active:
            self._estimates.learn(shape.family, len(call.body), len(decoded.choices), *tokens)
        if self.breaker_of(shape.endpoint).succeeded(attempt):
            self.controller.restart(now)
        self.controller.completed(
            now,
            choices=shape.n,
            tokens=tokens[1],
            seconds=now - attempt.started,
            saturated=admission.saturated,
        )
        seconds = now - call.started
        return Completion(decoded.choices, tokens[0], tokens[1], call.sent + 1, endpoint.url, seconds)

    def _failed(self, call: _Call, attempt: Attempt, error: AttemptError) -> float:
        """A failed attempt: tell everybody, and give the pause before the next one.

        Raises:
            RecordError, TeacherUnusable, ConfigError: there is no next one.
        """
        shape = call.request.shape
        if isinstance(error, ConnectFailed) and error.stale and call.free_retry:
            call.free_retry = False  # an idle connection had been closed: the server never read the request
            self.free_retries += 1
            return 0.0
        call.sent += 1
        kind = f"HTTP {error.status}" if error.status >= 400 else type(error).__name__
        self.failures[kind] = self.failures.get(kind, 0) + 1
        covered = call.endpoint is not None and self.router.covered(
            call.endpoint, name=shape.endpoint, model=shape.model
        )
        breaker = self.breaker_of(shape.endpoint)
        unusable = breaker.failed(attempt, error, elsewhere=covered)
        if isinstance(error, RequestRefused):
            self._refused(call, error)
        self._tell(call, error, covered=covered)
        if unusable:
            self.given_up += 1
            raise TeacherUnusable(f"{self._where(call)}: {unusable}") from error
        call.failed.append(attempt)
        charged = sum(one.charged for one in call.failed)
        number = charged if attempt.charged else min(call.sent, self.policy.max_attempts - 1)
        if isinstance(error, RateLimited) and breaker.seldom_less:
            number = min(number, 1)  # pauses grow to hold everybody back, not one unlucky call
        pause = retry_delay(self.policy, error, number, random.random())
        if pause is None:
            self._give_up(call, error)
        return pause + self._budget.delay(time.monotonic())

    def _tell(self, call: _Call, error: AttemptError, *, covered: bool) -> None:
        now = time.monotonic()
        if not isinstance(error, RateLimited):
            self.controller.failed(now)
            return
        self.controller.throttled(now, error.retry_after)
        if error.retry_after and not covered:  # all senders wait, unless other endpoints take the calls
            breaker = self.breaker_of(call.request.shape.endpoint)
            breaker.pause(min(error.retry_after, self.policy.longest_retry_after))

    def _refused(self, call: _Call, error: RequestRefused) -> NoReturn:
        """The server refuses the request for good: the record's fault, the shape's, or everybody's."""
        self.given_up += 1
        if error.status in _ADVICE and error.reason == "request_refused":
            raise TeacherUnusable(
                f"{self._where(call)} answered {error.message}; {_ADVICE[error.status]}"
            ) from error
        if error.reason == "bad_parameter" and call.request.shape.family not in self._answered:
            raise ConfigError(
                f"{self._where(call)} does not take the parameters of a block (gen_kwargs): {error.message}"
            ) from error
        self._refused_at_first += not self._answered
        if self._refused_at_first >= REFUSED_AT_FIRST:
            raise TeacherUnusable(
                f"{self._where(call)} refused all of the first {REFUSED_AT_FIRST} calls, the last with "
                f"{error.message}"
            ) from error
        reason = error.reason if error.reason != "bad_parameter" else "request_refused"
        raise RecordError(
            reason, f"the teacher refused the request (HTTP {error.status})", server=error.message
        ) from error

    def _give_up(self, call: _Call, error: AttemptError) -> NoReturn:
        """The call's attempts are used up; so many such calls in a row are the teacher's fault."""
        self.given_up += 1
        self._given_up_in_row += 1
        if self._given_up_in_row >= max(10, self.admission.limit):
            raise TeacherUnusable(
                f"{self._where(call)} keeps failing; after {call.sent} attempts the last call ended with: "
                f"{error.message}"
            ) from error
        raise RecordError(
            "teacher_failed", f"{call.sent} attempts failed, the last one with: {error.message}"
        ) from error

    def _where(self, call: _Call) -> str:
        endpoint = call.endpoint or self.router.endpoints[0]
        return f"the teacher at {endpoint.url}"


class _Call:
    """One call on its way through the loop."""

    __slots__ = ("body", "endpoint", "failed", "free_retry", "key", "request", "sent", "started")

    def __init__(self, request: Request, body: bytes, key: int | None) -> None:
        self.request = request
        self.body = body
        self.key = key
        self.endpoint: Endpoint | None = None
        self.failed: list[Attempt] = []
        self.free_retry = True
        self.sent = 0  # attempts that failed
        self.started = 0.0

    @property
    def number(self) -> int:
        """Which attempt comes next, of those that count; deadlines grow with it."""
        return 1 + sum(attempt.charged for attempt in self.failed)


_ADVICE = {
    401: "set the API key in the variable that --api-key-env names",
    403: "this key may not use this model or endpoint",
    404: "check the model's name and that the URL ends where the API begins, usually in /v1",
    405: "check that the URL ends where the API begins, usually in /v1",
}
