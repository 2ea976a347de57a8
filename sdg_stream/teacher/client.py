"""The teacher client: what blocks see of the teacher, over the retry loop of :mod:`.caller`.

Identical greedy requests are one call; a request for several choices gets that many, whatever the server
thinks of ``n``; a background task looks at the servers' own load where they tell it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import anyio
import orjson

from ..abc import Api, Backend, CallShape, Choice, Completion, Request
from ..errors import AttemptError, RecordError, TeacherUnusable
from ..events import LimitChange, TeacherReport
from .breaker import Breaker
from .caller import Caller
from .coalesce import Coalescer
from .controller import Controller, Fixed
from .hedging import Hedging
from .metrics import read_metrics, total
from .rates import Rates
from .redaction import redacting
from .retry import RetryPolicy
from .routing import Endpoint, Router

__all__ = ["TeacherClient"]

METRICS_SECONDS = 0.5


class TeacherClient:
    """Implements :class:`~sdg_stream.abc.Teacher` over any number of endpoints.

    Make one with :func:`~sdg_stream.teacher.connect.connect`, which looks at the endpoints first.

    Attributes:
        model: the model to ask when nobody names one.
        api: how prompts are sent.
        models: those that the default pool lists.
        honours_n: whether one request gets several choices.
        max_model_len: tokens of prompt and reply together that the model takes; None if not known.
        structured: how the server takes a JSON schema.
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
        max_model_len: int | None = None,
        structured: str = "response_format",
        controller: Controller | None = None,
        policy: RetryPolicy | None = None,
        breaker: Breaker | None = None,
        rates: Rates | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        affinity: bool = True,
        hedge: bool = False,
    ) -> None:
        self.model = model
        self.api: Api = api
        self.models = tuple(models)
        self.max_model_len = max_model_len
        self.structured = structured
        self.honours_n = honours_n
        self._backend = backend = redacting(backend, secrets)
        self._endpoints = list(endpoints)
        self._caller = Caller(
            backend,
            Router(endpoints, affinity=affinity),
            controller or Fixed(64),
            policy=policy or RetryPolicy(),
            breaker=breaker or Breaker(),
            rates=rates or Rates(),
            headers={"Content-Type": "application/json", **(headers or {})},
            secrets=secrets,
            hedging=Hedging() if hedge and len(endpoints) > 1 else None,
        )
        self._coalescer = Coalescer()
        self._reshaped: dict[bytes, CallShape] = {}
        self._calls = 0
        self._first_call: float | None = None

    @property
    def slots(self) -> int:
        """How many sequences may be in flight now."""
        return self._caller.admission.limit

    def check_shape(self, shape: CallShape) -> None:
        """See that an endpoint serves what requests of this shape ask for, before the first one.

        Raises:
            TeacherUnusable: none does.
        """
        self._caller.router.pool(shape.endpoint, shape.model)

    @property
    def tokens_used(self) -> tuple[int, int]:
        """Prompt tokens and reply tokens so far."""
        return self._caller.prompt_tokens, self._caller.completion_tokens

    async def complete(self, request: Request) -> Completion:
        """Make one call; see :class:`~sdg_stream.abc.Teacher`."""
        self._calls += 1
        if self._first_call is None:
            self._first_call = time.monotonic()
            self._caller.admission.start()
        ask = self._caller.call if request.shape.n == 1 else self._all_choices
        if request.shape.greedy:
            return await self._coalescer.complete(request, ask)
        return await ask(request)

    def answered_before(self, family: bytes) -> None:
        """Be told that requests of this family were answered in an earlier session; see CallShape."""
        self._caller.answered_before(family)

    def report(self) -> TeacherReport:
        """The account so far."""
        caller = self._caller
        hedging, first = caller.hedging, self._first_call or 0.0
        breakers = list(caller.breakers.values())
        return TeacherReport(
            model=self.model,
            api=self.api,
            endpoints=tuple(endpoint.url for endpoint in self._endpoints),
            calls=self._calls,
            attempts=caller.attempts,
            failed_calls=caller.given_up,
            failures=dict(caller.failures),
            prompt_tokens=caller.prompt_tokens,
            completion_tokens=caller.completion_tokens,
            tokens_estimated=caller.estimated,
            saved_calls=self._coalescer.saved_calls,
            free_retries=caller.free_retries,
            hedged_calls=hedging.hedges if hedging else 0,
            outages=sum(breaker.outages for breaker in breakers),
            outage_seconds=sum(breaker.outage_seconds for breaker in breakers),
            in_flight=caller.admission.in_use,
            slots=caller.admission.limit,
            limit_history=tuple(
                LimitChange(round(max(0.0, change.seconds - first), 3), change.limit, change.reason)
                for change in caller.controller.history
            ),
            busy_slot_seconds=caller.admission.busy_slot_seconds,
            open_slot_seconds=caller.admission.slot_seconds,
        )

    async def watch_servers(self, pages: Sequence[str]) -> None:
        """Tell the controller the servers' own load, until cancelled; ends where a server stops telling it.

        ``pages`` are the URLs of their ``/metrics``.
        """
        caller = self._caller
        while True:
            await anyio.sleep(METRICS_SECONDS)
            if not caller.admission.in_use or caller.breakers[""].is_open:
                continue
            loads = []
            for url in pages:
                try:
                    reply = await self._backend.send("GET", url, None, headers={}, timeout=5.0)
                except AttemptError:
                    break
                except TeacherUnusable:  # a redirect: of this page, not of the API
                    return
                found = read_metrics(reply.body.decode("utf-8", "replace")) if reply.status == 200 else None
                if found is None:
                    return
                loads.append(found)
            if len(loads) == len(pages):
                own = caller.admission.in_use
                caller.controller.observed(time.monotonic(), total(loads), own=own)
                caller.admission.resize(caller.controller.limit)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._backend.aclose()

    # ------------------------------------------------------------ as many choices as were asked for

    async def _all_choices(self, request: Request) -> Completion:
        """A call that ends with ``n`` choices, whatever it takes."""
        n = request.shape.n
        if n > 1 and not self.honours_n:
            return await self._one_by_one(request)
        completion = await self._caller.call(request)
        while (missing := n - len(completion.choices)) > 0:
            shape = self._shape_for(request.shape, missing, seed_offset=len(completion.choices))
            rest = await self._caller.call(_with_shape(request, shape))
            completion = _joined([completion, rest])
        return completion

    async def _one_by_one(self, request: Request) -> Completion:
        """``n`` requests of one choice each, side by side, for a server that ignores ``n``."""
        n = request.shape.n
        found: list[Completion | None] = [None] * n
        failed: list[RecordError] = []

        async def one(index: int) -> None:
            shape = self._shape_for(request.shape, 1, seed_offset=index)
            try:
                found[index] = await self._caller.call(_with_shape(request, shape))
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

    def _shape_for(self, shape: CallShape, n: int, seed_offset: int = 0) -> CallShape:
        """The same shape for another number of choices; a fixed seed moves along, as choices' seeds do."""
        key = b"%d %d " % (n, seed_offset) + shape.head
        found = self._reshaped.get(key)
        if found is None:
            if len(self._reshaped) > 1000:
                self._reshaped.clear()
            seed = orjson.loads(shape.head + b"null}").get("seed")
            moved = {} if seed is None else {"seed": seed + seed_offset}
            found = self._reshaped[key] = shape.changed(n=n, **moved)
        return found


def _with_shape(request: Request, shape: CallShape) -> Request:
    return Request(shape, request.prompt, request.depth, request.root, request.path, request.halt)


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
