"""Rows 1 to 9, 17, 19, 20 and 30 to 35 of the fault catalogue on real sockets, with both transports."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from canary import CANARY
from raw_teacher import (
    FINE,
    SHAPE,
    ask,
    client_of,
    free_port,
    raw_teacher,
    reset_on_close,
    run_rows,
)

import sdg_stream as sdg
from sdg_stream.abc import Request
from sdg_stream.errors import RateLimited, RecordError, TeacherUnusable
from sdg_stream.events import Event, Notice
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings
from sdg_stream.teacher import http, lean_reply
from sdg_stream.teacher.connect import Transport
from sdg_stream.teacher.lean import LeanBackend
from sdg_stream.teacher.retry import RetryPolicy, retry_delay
from sdg_stream.teacher.wire import retry_after

pytestmark = pytest.mark.anyio

TAGGED = "[a]fine[/a]"


@pytest.fixture(params=["lean", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Both transports."""
    found: Transport = request.param
    return found


def failing(fault: Fault, match: Any = "question", attempts: int | None = None, **more: Any) -> Any:
    """A simulated teacher that fails on the prompts of a test, and never on those of the preflight."""
    rule = FaultRule(fault=fault, match=match, attempts=attempts)
    return serve(SimulatorSettings(**{"latency": "zero", "reply": TAGGED, "faults": (rule,), **more}))


async def test_row_01_a_port_that_is_opened_later(transport: Transport) -> None:
    """While nobody listens the hook is told; as soon as somebody does, all is well."""
    port, told = free_port(), anyio.Event()

    def hook(event: Event) -> None:
        if isinstance(event, Notice) and event.code == "waiting":
            told.set()

    async def open_it() -> None:
        await told.wait()
        async with serve(SimulatorSettings(latency="zero", reply="fine"), port=port):
            await done.wait()

    done = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(open_it)
        url = f"http://127.0.0.1:{port}/v1"
        async with sdg.connect(url, wait_ready=20, transport=transport, hook=hook) as teacher:
            assert await ask_model(teacher) == "fine"
        done.set()


async def test_row_01_a_port_that_stays_closed(transport: Transport) -> None:
    """The URL and what can be done are named."""
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(TeacherUnusable, match=r"after 0\.2 s: cannot connect: Connection refused") as caught:
        async with sdg.connect(url, wait_ready=0.2, transport=transport):
            pass
    assert url in str(caught.value)


async def ask_model(teacher: Any, prompt: str = "question") -> str:
    """One call for the model that the teacher has."""
    shape = SHAPE.make("completions", {"model": teacher.model, "max_tokens": 9})
    completion = await teacher.complete(Request(shape, prompt))
    text: str = completion.choices[0].text
    return text


async def test_row_02_a_server_that_is_away_for_a_while_costs_no_record(
    tmp_path: Path, transport: Transport
) -> None:
    """Stopped in the middle of a run and started again on its port: every record is accepted."""
    port = free_port()
    settings = SimulatorSettings(latency="fixed", latency_seconds=0.05, reply=TAGGED)

    async def away() -> None:
        async with serve(settings, port=port) as server:
            up.set()
            while server.stats.sequences < 40:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        await anyio.sleep(1.5)
        async with serve(settings, port=port):
            await done.wait()

    up, done = anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(away)
        await up.wait()
        url = f"http://127.0.0.1:{port}/v1"
        async with sdg.connect(url, transport=transport, max_attempts=2, concurrency=16) as teacher:
            report = await run_rows(tmp_path, teacher, 200)
        done.set()
    assert (report.accepted, report.rejected) == (200, 0)
    assert report.teacher is not None
    assert report.teacher.outages == 1


async def test_row_03_a_name_that_nobody_knows(transport: Transport) -> None:
    """The host is named."""
    with pytest.raises(TeacherUnusable, match=r"cannot find the host teacher\.invalid"):
        async with sdg.connect("http://teacher.invalid/v1", transport=transport):
            pass


async def test_row_03_a_name_that_is_found_now_and_then(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look-ups that fail are made again within --wait-ready."""
    failures = iter([socket.gaierror(-3, "Temporary failure in name resolution")] * 2)
    kind: Any = LeanBackend if transport == "lean" else aiohttp.DefaultResolver
    name = "_resolve" if transport == "lean" else "resolve"
    sound = getattr(kind, name)

    async def resolve(self: Any, *args: Any, **more: Any) -> Any:
        error = next(failures, None)
        if error is not None:
            raise error
        return await sound(self, *args, **more)

    monkeypatch.setattr(kind, name, resolve)
    async with serve(SimulatorSettings(latency="zero", reply="fine")) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        async with sdg.connect(url, wait_ready=10, transport=transport) as teacher:
            assert await ask_model(teacher) == "fine"
    assert next(failures, None) is None


async def test_row_04_a_stale_connection_costs_nothing(transport: Transport) -> None:
    """Each connection is closed on its second request: one free retry each, with no failure counted."""
    served: set[SocketStream] = set()

    async def answer(stream: SocketStream, request: bytes) -> bool:
        if stream in served:
            return False
        served.add(stream)
        await stream.send(FINE)
        return True

    async with raw_teacher(answer) as url, client_of(url, transport, attempts=1) as client:
        for number in range(10):
            assert await ask(client, f"question {number}") == "fine"
        assert client.report().failures == {}
        assert client.report().free_retries >= 5


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_row_05_a_reply_cut_at_any_byte_is_asked_for_again(transport: Transport, reset: bool) -> None:
    """Whatever part came, nothing of it is used, and the next attempt brings the whole reply."""
    cuts: dict[bytes, int] = {}

    async def answer(stream: SocketStream, request: bytes) -> bool:
        prompt = request.partition(b'"prompt":')[2]
        if prompt in cuts:
            await stream.send(FINE)
            return True
        cuts[prompt] = len(cuts)
        if cuts[prompt]:
            await stream.send(FINE[: cuts[prompt]])
        if reset:
            reset_on_close(stream)
        return False

    async with raw_teacher(answer) as url, client_of(url, transport, attempts=2) as client:
        for number in range(len(FINE)):
            assert await ask(client, f"question {number}") == "fine"
        assert sum(client.report().failures.values()) <= len(FINE)
        assert client.report().failed_calls == 0


async def test_row_06_a_reply_that_drips_ends_at_the_deadline(transport: Transport) -> None:
    """Progress is no excuse; the second attempt has half as much time again, then the record ends."""

    async def answer(stream: SocketStream, request: bytes) -> bool:
        for byte in FINE:
            await stream.send(bytes([byte]))
            await anyio.sleep(0.05)
        return True

    async with raw_teacher(answer) as url, client_of(url, transport, attempts=2, timeout=0.2) as client:
        with anyio.fail_after(5), pytest.raises(RecordError) as caught:
            await ask(client)
    assert caught.value.reason == "teacher_failed"
    assert "2 attempts failed, the last one with: no whole reply within 0.3 s" in caught.value.message


async def test_row_07_a_hang_ends_at_the_deadline(tmp_path: Path, transport: Transport) -> None:
    """A prompt that always hangs is rejected; one that hangs once is answered; nobody else waits."""
    rules = (
        FaultRule(fault=Fault(kind="hang"), match="question 3."),
        FaultRule(fault=Fault(kind="hang"), match="question 5.", attempts=1),
    )
    settings = SimulatorSettings(latency="zero", reply=TAGGED, faults=rules)
    async with (
        serve(settings) as server,
        sdg.connect(server.url, transport=transport, timeout=0.3, max_attempts=2) as teacher,
    ):
        with anyio.fail_after(10):
            report = await run_rows(tmp_path, teacher, 30)
    assert (report.accepted, report.rejected, report.pending) == (29, 1, 0)
    assert report.teacher is not None
    assert report.teacher.failures == {"AttemptTimeout": 3}


@pytest.mark.filterwarnings("ignore:Sending a large body")
async def test_row_08_a_peer_that_neither_reads_nor_writes_is_left(transport: Transport) -> None:
    """A request that it does not even take ends at the deadline; TCP's own probes have a unit test."""

    async def serve_nobody(stream: SocketStream) -> None:
        async with stream:
            await anyio.sleep_forever()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve_nobody)
        port = listener.extra(SocketAttribute.local_port)
        async with client_of(f"http://127.0.0.1:{port}/v1", transport, attempts=1, timeout=0.3) as client:
            with anyio.fail_after(5), pytest.raises(RecordError, match=r"no whole reply within 0\.3 s"):
                await ask(client, "x" * 20_000_000)
        tasks.cancel_scope.cancel()


async def test_row_09_tls_where_there_is_none_is_told_at_once(transport: Transport) -> None:
    """No waiting and no second try; certificates are refused where connections are tested end to end."""
    async with serve(SimulatorSettings(latency="zero")) as server:
        with anyio.fail_after(5), pytest.raises(TeacherUnusable, match="https"):
            url = server.url.replace("http:", "https:")
            async with sdg.connect(url, wait_ready=30, transport=transport):
                pass


async def test_row_13_a_huge_body_ends_at_the_cap(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading stops long before a body without end does; the record ends with the reason."""
    for module in (http, lean_reply):
        monkeypatch.setattr(module, "MAX_BODY", 100_000)
    sent = 0

    async def answer(stream: SocketStream, request: bytes) -> bool:
        nonlocal sent
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        while True:
            await stream.send(b" " * 10_000)
            sent += 10_000

    async with raw_teacher(answer) as url, client_of(url, transport, attempts=1) as client:
        with pytest.raises(RecordError, match="a body of more than 100000 bytes"):
            await ask(client)
    assert sent < 50_000_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT"}, 10.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_row_17_what_retry_after_may_say(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, a date or milliseconds; what makes no sense counts as nothing said."""
    assert retry_after(headers, datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)) == seconds


def test_row_17_what_is_asked_for_is_honoured_up_to_a_cap() -> None:
    """At least what was asked for, and 120 s at most, with some jitter."""
    policy = RetryPolicy()
    assert retry_delay(policy, RateLimited("less", retry_after=7.0), 1, 0.0) == 7.0
    assert retry_delay(policy, RateLimited("less", retry_after=5000.0), 1, 0.0) == 120.0


async def test_row_17_everybody_waits_as_long_as_a_server_asks(transport: Transport) -> None:
    """After one 429 with Retry-After nothing is sent for that time, and it costs no attempt."""
    times: list[float] = []
    less = b"HTTP/1.1 429 Too Many\r\nRetry-After: 0.6\r\nContent-Length: 0\r\n\r\n"

    async def answer(stream: SocketStream, request: bytes) -> bool:
        times.append(time.monotonic())
        await stream.send(less if len(times) == 1 else FINE)
        return True

    async with raw_teacher(answer) as url, client_of(url, transport, attempts=1, slots=1) as client:
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(ask, client, f"question {number}")
        assert client.report().failed_calls == 0
    assert len(times) == 11
    assert times[1] - times[0] >= 0.55


@pytest.mark.parametrize("status", [401, 403])
async def test_row_19_a_key_that_is_refused_ends_the_run_at_once(
    tmp_path: Path, transport: Transport, status: int
) -> None:
    """No retry and no more calls than were in flight; what to do is said, the key is not."""
    words = Fault(status=status, message=f"the key {CANARY} is not valid")
    async with (
        failing(words) as server,
        sdg.connect(server.url, transport=transport, api_key=CANARY, concurrency=5) as teacher,
    ):
        server.reset()
        with pytest.raises(TeacherUnusable, match=f"HTTP {status}") as caught:
            await run_rows(tmp_path, teacher, 100)
        assert server.stats.requests <= 5
    assert CANARY not in str(caught.value)
    assert "key" in str(caught.value)


async def test_row_20_a_model_that_is_not_there(transport: Transport) -> None:
    """Before any call, with the names of those that are."""
    async with serve(SimulatorSettings(latency="zero")) as server:
        with pytest.raises(TeacherUnusable, match="Did you mean 'simulated-teacher'"):
            async with sdg.connect(server.url, model="simulated-techer", transport=transport):
                pass
        assert server.stats.requests == 0


async def test_row_20_a_model_that_goes_in_the_middle_ends_the_run(
    tmp_path: Path, transport: Transport
) -> None:
    """A 404 stops everything at once, with the server's words."""
    gone = Fault(status=404, message="The model was unloaded.")
    async with (
        failing(gone) as server,
        sdg.connect(server.url, transport=transport, concurrency=5) as teacher,
    ):
        with pytest.raises(TeacherUnusable, match=r"The model was unloaded\."):
            await run_rows(tmp_path, teacher, 50)


async def test_row_30_a_reply_that_nobody_waits_for_answers_no_other_call(transport: Transport) -> None:
    """Bytes beyond a reply spoil their connection; what a proxy mixes up by itself no client can see."""
    other = FINE.replace(b"fine", b"else")

    async def answer(stream: SocketStream, request: bytes) -> bool:
        await stream.send(FINE + other)
        return True

    async with raw_teacher(answer) as url, client_of(url, transport) as client:
        for number in range(5):
            assert await ask(client, f"question {number}") == "fine"


@pytest.mark.parametrize("status", [302, 307])
async def test_row_31_a_redirect_in_the_middle_is_not_followed(transport: Transport, status: int) -> None:
    """The host that it leads to is told, and hears nothing."""
    async with serve(SimulatorSettings(latency="zero")) as elsewhere:
        there = elsewhere.url.encode() + b"/completions"

        async def answer(stream: SocketStream, request: bytes) -> bool:
            head = b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, there)
            await stream.send(head)
            return True

        async with raw_teacher(answer) as url, client_of(url, transport) as client:
            with pytest.raises(TeacherUnusable, match=elsewhere.origin.removeprefix("http://")):
                await ask(client)
        assert elsewhere.stats.requests == 0


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A proxy in every variable that programs look at, behind which is nothing."""
    proxy = f"http://127.0.0.1:{free_port()}"
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    return iter([proxy])


async def test_row_32_proxies_of_the_environment_are_not_used(
    transport: Transport, dead_proxy: Iterator[str]
) -> None:
    """Only ``proxy="auto"`` looks at the environment, and then the proxy is named as what failed."""
    proxy = next(dead_proxy)
    async with serve(SimulatorSettings(latency="zero", reply="fine")) as server:
        async with sdg.connect(server.url, transport=transport) as teacher:
            assert await ask_model(teacher) == "fine"
        with pytest.raises(TeacherUnusable, match=f"cannot connect to the proxy {proxy[7:]}"):
            async with sdg.connect(server.url, proxy="auto"):
                pass


async def test_row_33_a_replica_that_dies_costs_no_record(tmp_path: Path, transport: Transport) -> None:
    """Of three replicas one is gone in the middle of the run: the others take its share."""
    settings = SimulatorSettings(latency="fixed", latency_seconds=0.05, reply=TAGGED)

    async def mortal(ready: anyio.Event, urls: list[str]) -> None:
        async with serve(settings) as server:
            urls.append(server.url)
            ready.set()
            while server.stats.sequences < 20:  # noqa: ASYNC110
                await anyio.sleep(0.01)

    ready, urls = anyio.Event(), list[str]()
    async with serve(settings) as one, serve(settings) as two, anyio.create_task_group() as tasks:
        tasks.start_soon(mortal, ready, urls)
        await ready.wait()
        three = [one.url, two.url, urls[0]]
        async with sdg.connect(three, transport=transport, concurrency=24, max_attempts=3) as teacher:
            report = await run_rows(tmp_path, teacher, 300)
        shares = [one.stats.sequences, two.stats.sequences]
    assert (report.accepted, report.rejected) == (300, 0)
    assert report.teacher is not None
    assert report.teacher.outages == 0
    assert min(shares) >= 0.35 * sum(shares)


async def test_row_33_a_slow_replica_gets_less(tmp_path: Path, transport: Transport) -> None:
    """One of two takes ten times as long: the other answers most."""
    quick, slow = (
        SimulatorSettings(latency="fixed", latency_seconds=seconds, reply=TAGGED) for seconds in (0.02, 0.2)
    )
    async with (
        serve(quick) as one,
        serve(slow) as two,
        sdg.connect([one.url, two.url], transport=transport, concurrency=16) as teacher,
    ):
        report = await run_rows(tmp_path, teacher, 200)
        assert one.stats.sequences > 3 * two.stats.sequences
    assert report.accepted == 200


async def test_row_35_a_stream_without_its_end_is_asked_for_again() -> None:
    """What broke off is not used; where no whole stream ever comes, the record ends."""
    always, once = (failing(Fault(kind="truncated"), attempts=attempts) for attempts in (None, 1))
    async with once as server, sdg.connect(server.url, stream=True) as teacher:
        assert await ask_model(teacher) == TAGGED
        assert teacher.report().failures == {"ConnectFailed": 1}
    async with always as server, sdg.connect(server.url, stream=True, max_attempts=2) as teacher:
        with pytest.raises(RecordError, match="2 attempts failed"):
            await ask_model(teacher)


async def test_row_35_a_stream_without_its_end_mark_is_whole_where_http_and_choices_end() -> None:
    """As of the server of transformers: it is used, and counts as no failure."""
    async with failing(Fault(kind="no_done")) as server, sdg.connect(server.url, stream=True) as teacher:
        assert await ask_model(teacher) == TAGGED
        assert teacher.report().failures == {}
