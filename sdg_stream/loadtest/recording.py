"""A pipeline's own prompts: its first asking block over input rows, with a teacher that only takes notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..abc import Api, Completion, Request
from ..errors import ConfigError, RecordError
from ..events import Event, RecordRejected
from ..io.jsonl import JsonlSource
from ..pipeline import Pipeline
from .call_log import PromptSample

__all__ = ["Recorder", "record_prompts"]

RECORDED = "recorded"


class Recorder:
    """Implements :class:`~sdg_stream.abc.Teacher`: keeps a sample of requests and answers none."""

    def __init__(self, model: str, api: Api, max_model_len: int | None = None) -> None:
        self.model = model
        self.api: Api = api
        self.max_model_len = max_model_len
        self.slots = 64
        self._sample = PromptSample()

    @property
    def requests(self) -> list[Request]:
        """What was kept of what it was asked, in order; all of it, unless that is too much."""
        return self._sample.requests()

    async def complete(self, request: Request) -> Completion:
        """Keep the request.

        Raises:
            RecordError: always; so no block behind the first one sees the record.
        """
        self._sample.add(request)
        raise RecordError(RECORDED, "kept for a load test, not asked")


async def record_prompts(
    pipeline: Pipeline, rows: str | Path, recorder: Recorder, *, limit: int
) -> Sequence[Request]:
    """What a pipeline's first asking block asks for the first ``limit`` input rows, in their order.

    Raises:
        ConfigError: the input cannot be read, or no row leads to a request.
    """
    rejects: list[RecordRejected] = []

    def keep(event: Event, /) -> None:
        if isinstance(event, RecordRejected) and event.reason != RECORDED:
            rejects.append(event)

    async with pipeline.stream(JsonlSource(rows, limit=limit), recorder, order="input", hook=keep) as results:
        async for _ in results:
            pass
    requests = recorder.requests
    if not requests:
        why = f": {rejects[0].message}" if rejects else ""
        raise ConfigError(f"no row of {rows} reaches a block of {pipeline.name} that asks{why}")
    first = min(request.depth for request in requests)
    found = [request for request in requests if request.depth == first]
    return sorted(found, key=lambda request: (request.root, request.path))
