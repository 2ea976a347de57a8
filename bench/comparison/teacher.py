"""The simulated teacher of the comparison: it counts the prompts of the work apart from those of probes.

    python bench/comparison/teacher.py '{"latency": "fixed", "slots": 64}'

Run as a script it prints its URL and serves until terminated; the argument has its settings. In ``/stats``,
``distinct_prompts`` and ``repeated_prompts`` count only prompts that contain the mark of the work, and
``first_at`` is when the first of them came: tools ask other things, too, to find out what a server can do.
"""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial

import anyio
import msgspec
from aiohttp import web
from aiohttp.web_request import BaseRequest

from sdg_stream.simulator.service import Service
from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.simulator.stats import Counters

MARK = "work item"
"""Stands in every prompt of the work, and in no other."""


class WorkCounters(Counters):
    """Knows the prompts of the work only; time begins with the first of them."""

    def attempt(self, prompt: str) -> int:
        """How often this prompt has been asked for; what is not work counts as new each time."""
        if MARK not in prompt:
            self.first_at = 0.0 if not self.prompts else self.first_at
            return 1
        if not self.prompts:
            self.first_at = time.monotonic()
        return super().attempt(prompt)


async def serve(settings: SimulatorSettings) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    service = Service(settings, loop)
    service.calls.counters = WorkCounters()
    server = web.Server(
        service.handle,
        request_factory=partial(BaseRequest, loop=loop, client_max_size=0),
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=settings.keepalive_seconds,
        lingering_time=0,
    )
    runner = web.ServerRunner(server, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(
        serve, msgspec.json.decode(sys.argv[1], type=SimulatorSettings), backend_options={"use_uvloop": True}
    )
