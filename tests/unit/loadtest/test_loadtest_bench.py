"""A whole load test in one process: what it warns of, and what it says when it cannot begin."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sdg_stream.errors import ConfigError, TeacherUnusable
from sdg_stream.events import Event
from sdg_stream.loadtest.bench import Asked, Bench, Listener
from sdg_stream.loadtest.load import Phases
from sdg_stream.loadtest.results import Level, Setup
from sdg_stream.loadtest.sweep import Plan
from sdg_stream.loadtest.synthetic import TokenShape
from sdg_stream.loadtest.window import Sample
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings

pytestmark = pytest.mark.anyio

PLAN = Plan(levels=(2,), phases=Phases(warmup=0.0, duration=0.1))
SIZE = TokenShape(prompt=64, output=32)


class Told:
    """Everybody who is told something, in one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.setups: list[Setup] = []
        self.levels: list[Level] = []
        self.samples: list[Sample] = []

    def listener(self) -> Listener:
        """Of a load test."""
        return Listener(
            hook=self.events.append,
            ready=self.setups.append,
            begins=lambda _concurrency, _replica: None,
            ends=self.levels.append,
            samples=self._keep,
        )

    def _keep(self, _concurrency: int, samples: Sequence[Sample]) -> None:
        self.samples += samples


async def test_what_was_found_is_told_and_put_together() -> None:
    """The set-up before the first level, each level, all requests, and a report at the end."""
    told = Told()
    async with serve(SimulatorSettings(latency="fixed", latency_seconds=0.01)) as server:
        bench = Bench(Asked(endpoint_url=[server.url], prompts=SIZE, plan=PLAN))
        assert bench.report() is None
        await bench.run("sk-canary-4711", told.listener())
    report = bench.report()
    assert report is not None
    assert report.setup == told.setups[0]
    assert (report.setup.model, report.setup.api, report.setup.transport) == (
        "simulated-teacher",
        "completions",
        "lean",
    )
    assert list(report.levels) == told.levels
    assert len(told.samples) >= report.levels[0].completed > 0
    assert report.recommended_concurrency == 2
    assert "that was not measured" in report.knee
    assert "sk-canary-4711" not in repr(report)


async def test_replies_of_another_size_are_told() -> None:
    """A server that does not make replies as long as was asked for."""
    async with serve(SimulatorSettings(latency="zero", reply="short")) as server:
        bench = Bench(Asked(endpoint_url=[server.url], prompts=SIZE, plan=PLAN, stream=False))
        await bench.run(None, Told().listener())
    report = bench.report()
    assert report is not None
    assert "replies had 2 tokens on average, not the 32 that were asked for" in report.warnings


async def test_a_server_that_wants_a_key_is_unusable_without() -> None:
    """Before anything is measured, with the way out."""
    async with serve(SimulatorSettings(latency="zero", api_key="sk-canary-4711")) as server:
        bench = Bench(Asked(endpoint_url=[server.url], prompts=SIZE, plan=PLAN))
        with pytest.raises(TeacherUnusable, match="--api-key-env"):
            await bench.run("sk-wrong-0815", Told().listener())
    assert bench.report() is None


async def test_prompts_that_do_not_fit_are_told_in_the_servers_words() -> None:
    """All are refused: the level is given up, and the reason is the server's."""
    settings = SimulatorSettings(latency="zero", max_model_len=800)
    async with serve(settings) as server:
        size = TokenShape(prompt=2000, output=32)
        bench = Bench(Asked(endpoint_url=[server.url], prompts=size, plan=Plan(levels=(32,))))
        with pytest.raises(TeacherUnusable, match=r"none succeeded; the last one: HTTP 400.*800"):
            await bench.run(None, Told().listener())


async def test_an_address_that_is_none_is_a_mistake() -> None:
    """Of the user."""
    bench = Bench(Asked(endpoint_url=["ftp://h"], prompts=SIZE, plan=PLAN))
    with pytest.raises(ConfigError):
        await bench.run(None, Told().listener())
