"""Answers calls: from the request's bytes, through queue and slot, to the response."""

from __future__ import annotations

import math
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable

import anyio
import orjson
from aiohttp import web
from aiohttp.web_request import BaseRequest

from .call_log import CallLine, CallLog
from .faults import INSTEAD_OF_REPLY, FaultPlan
from .misbehave import JSON, fail, spoil
from .payloads import reply_payload, stream_events, usage_event
from .prompt_text import token_count
from .replies import Reply, request_key, service_seconds, write_replies
from .scheduler import Scheduler, Sequence, Work
from .settings import Fault, SimulatorSettings
from .stats import Counters
from .stream import Stream
from .wire import Asked, Refusal

__all__ = ["Calls", "Reader"]

Reader = Callable[[bytes, SimulatorSettings], Asked]
_BURST_SECONDS = 1.0  # of requests that a rate limit lets through at once


class Calls:
    """Answers calls, and counts them.

    Args:
        settings: what the teacher is like.
        loop: for the timers of its slots.
        log: where each call is written to when it has ended.
    """

    def __init__(
        self, settings: SimulatorSettings, loop: AbstractEventLoop, log: CallLog | None = None
    ) -> None:
        self.settings = settings
        self._log = log
        self.counters = Counters()
        self.scheduler = Scheduler(settings, time.monotonic, loop.call_later)
        self.faults = FaultPlan(settings)
        self._instant = settings.latency == "zero"
        self._may_pass_at = 0.0

    def reset(self) -> None:
        """Count from zero, and forget prompts and prefixes; what is being answered goes on."""
        still_open = self.counters.open
        self.counters = Counters()
        self.counters.open = self.counters.max_open = still_open
        self.scheduler.reset()
        self.faults.reset()

    async def answer(self, request: BaseRequest, reader: Reader) -> web.StreamResponse:
        """Answer one call; ``reader`` knows the endpoint's request."""
        body = await request.read()
        begun = time.monotonic()
        self.counters.begin(begun)
        line = CallLine.of(body, begun)
        try:
            self._admit(request, begun)
            response = await self._reply(request, reader(body, self.settings), line)
            line.status = response.status
        except Refusal as refusal:
            line.status = refusal.status
            response = web.Response(
                status=line.status, body=refusal.body, headers={**JSON, **refusal.headers}
            )
        finally:
            self._ended(line)
        return response

    def _ended(self, line: CallLine) -> None:
        """Count a call, and log it; one without a status ended with its connection."""
        line.left = time.monotonic()
        self.counters.open -= 1
        if line.status:
            self.counters.end(line.status, line.arrived, line.left)
        else:
            self.counters.abort()
        if self._log is not None:
            self._log.write(line)

    def _admit(self, request: BaseRequest, now: float) -> None:
        """Refuse a request without the right key, or one that is beyond the rate limit."""
        key = self.settings.api_key
        if key is not None and request.headers.get("Authorization") != f"Bearer {key}":
            raise Refusal(401, "Unauthorized")
        rate = self.settings.requests_per_second
        if rate is not None:
            self._may_pass_at = max(self._may_pass_at, now - _BURST_SECONDS)
            if self._may_pass_at > now:
                seconds = str(math.ceil(self._may_pass_at - now))
                raise Refusal(429, f"More than {rate} requests a second.", headers={"Retry-After": seconds})
            self._may_pass_at += 1 / rate

    async def _reply(self, request: BaseRequest, asked: Asked, line: CallLine) -> web.StreamResponse:
        attempts = [self.counters.attempt(prompt) for prompt in asked.sent]
        number = self.counters.requests
        fault = self.faults.pick(number, asked.sent, attempts[0])
        line.fault = fault.kind if fault else None
        if fault is not None and fault.kind in INSTEAD_OF_REPLY:
            return await fail(request, fault)
        self._check_queue(len(asked.sent) * asked.n)
        settings = self.settings
        keys = [request_key(settings, asked, prompt) for prompt in asked.prompts]
        found: list[Reply] = []
        for prompt, key in zip(asked.prompts, keys, strict=True):
            found += write_replies(settings, asked, prompt, key)
        works = [] if self._instant else self._works(asked, keys, found)
        if asked.stream:
            response = await self._stream(request, asked, found, works, fault)
        else:
            if works:
                await self._run(works)
            payload = reply_payload(settings, asked, found, number, int(time.time()))
            if fault is None:
                response = web.Response(body=orjson.dumps(payload), headers=JSON)
            else:
                response = await spoil(request, payload, fault)
        self.counters.add(asked.sent, found)
        return response

    def _check_queue(self, sequences: int) -> None:
        limit = self.settings.max_waiting
        if limit is not None:
            free = self.settings.slots - self.scheduler.running
            if self.scheduler.waiting + sequences > limit + free:
                raise Refusal(503, f"The queue is full: {self.scheduler.waiting} sequences are waiting.")

    def _works(self, asked: Asked, keys: list[int], found: list[Reply]) -> list[Work]:
        """One unit of work a prompt, with its n sequences."""
        works = []
        for place, (prompt, key) in enumerate(zip(asked.sent, keys, strict=True)):
            mine = found[place * asked.n : (place + 1) * asked.n]
            sequences = [
                Sequence(index, reply.tokens, service_seconds(self.settings, key, index))
                for index, reply in enumerate(mine)
            ]
            works.append(Work(prompt, token_count(prompt), sequences))
        return works

    async def _run(self, works: list[Work]) -> None:
        """Wait until all work is done; give it up if the client goes away."""
        done = anyio.Event()
        left = len(works)

        def one_done() -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        try:
            for work in works:
                work.on_done = one_done
                self.scheduler.submit(work)
            await done.wait()
        finally:
            for work in works:
                self.scheduler.abort(work)
        for work in works:
            self.counters.queue_seconds.observe(work.queued_seconds)

    async def _stream(
        self, request: BaseRequest, asked: Asked, found: list[Reply], works: list[Work], fault: Fault | None
    ) -> web.StreamResponse:
        if fault is not None and fault.kind == "slow":
            await anyio.sleep(fault.seconds)
        stream = Stream(request, fault)
        await stream.open()
        number, now = self.counters.requests, int(time.time())
        events = [
            stream_events(self.settings, asked, index, reply, number, now)
            for index, reply in enumerate(found)
        ]
        sequences = [sequence for work in works for sequence in work.sequences]
        async with anyio.create_task_group() as group:
            for sequence, mine in zip(sequences, events, strict=False):
                group.start_soon(stream.send_paced, mine, sequence)
            if works:
                await self._run(works)
        for mine in events:  # without slots nothing has been sent yet
            await stream.send_all(mine)
        usage = usage_event(self.settings, asked, found, number, now) if asked.stream_usage else b""
        return await stream.close(usage)
