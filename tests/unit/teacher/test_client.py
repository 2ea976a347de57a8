"""The teacher client: slots, attempts, choices, and what ends a record or the run."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from sdg_stream.abc import Api, CallShape, Completion, HttpReply, Request
from sdg_stream.errors import AttemptTimeout, ConfigError, ConnectFailed, RecordError, TeacherUnusable
from sdg_stream.teacher.breaker import Breaker
from sdg_stream.teacher.client import TeacherClient
from sdg_stream.teacher.controller import Fixed
from sdg_stream.teacher.retry import RetryPolicy
from sdg_stream.teacher.routing import Endpoint
from sdg_stream.testing.backend import ScriptedBackend, completion_reply, json_reply

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(max_attempts=3, first_delay=0.0)


def request(n: int = 1, api: Api = "completions", depth: int = 0, root: int = 0, **params: Any) -> Request:
    """A request for n choices."""
    shape = CallShape.make(api, {"model": "m", "temperature": 0, "max_tokens": 9, "n": n, **params})
    return Request(shape, f"prompt {root}", depth=depth, root=root)


def client_of(script: Callable[[str, Any], Any], **more: Any) -> tuple[TeacherClient, ScriptedBackend]:
    """A client over a scripted backend."""
    backend = ScriptedBackend(script)
    endpoints = more.pop("endpoints", [Endpoint("http://one/v1")])
    settings = {"policy": QUICK, "breaker": Breaker(max_outage=0.3, first_probe=0.02, longest_probe=0.05)}
    return TeacherClient(backend, endpoints, **{**settings, **more}), backend


async def test_a_completions_request_and_its_reply() -> None:
    """The body is the shape and the prompt; choices come as they are, with their cost."""
    client, backend = client_of(lambda path, body: completion_reply(" a ", None))
    completion = await client.complete(request(n=2, stop=["END"]))
    assert backend.sent == [
        (
            "/v1/completions",
            {
                "model": "m", "temperature": 0, "max_tokens": 9, "n": 2, "stop": ["END"],
                "prompt": "prompt 0",
            },
        )
    ]  # fmt: skip
    assert [choice.text for choice in completion.choices] == [" a ", ""]
    assert (completion.prompt_tokens, completion.completion_tokens, completion.attempts) == (10, 5, 1)
    assert completion.endpoint == "http://one/v1"
    report = client.report()
    assert (report.calls, report.attempts, report.prompt_tokens, report.completion_tokens) == (1, 1, 10, 5)


async def test_a_chat_request_is_one_user_message() -> None:
    """A prompt becomes one user message; content in parts and reasoning are read."""
    reply = {
        "choices": [
            {"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}},
            {
                "index": 1,
                "message": {"content": "c", "reasoning_content": "because"},
                "finish_reason": "stop",
            },
        ]
    }
    client, backend = client_of(lambda path, body: json_reply(reply))
    completion = await client.complete(request(n=2, api="chat"))
    path, body = backend.sent[0]
    assert path == "/v1/chat/completions"
    assert body["messages"] == [{"role": "user", "content": "prompt 0"}]
    assert [choice.text for choice in completion.choices] == ["ab", "c"]
    assert completion.choices[1].reasoning == "because"
    assert client.report().tokens_estimated


async def test_q_llm_1_choices_are_paired_by_index() -> None:
    """Shuffled choices are put in order, and one too many is left out."""
    choices = [{"index": index, "text": str(index)} for index in (2, 0, 3, 1)]
    client, _ = client_of(lambda path, body: json_reply({"choices": choices}))
    completion = await client.complete(request(n=3))
    assert [choice.text for choice in completion.choices] == ["0", "1", "2"]


async def test_q_llm_1_missing_choices_are_asked_for_again() -> None:
    """A server that gives fewer choices than asked is asked for the rest."""

    def script(path: str, body: Any) -> HttpReply:
        n = body.get("n", 1)
        return completion_reply(*[f"of {n}"] * max(1, n - 1))

    client, backend = client_of(script)
    completion = await client.complete(request(n=4))
    assert [body.get("n", 1) for _, body in backend.sent] == [4, 1]
    assert len(completion.choices) == 4
    assert completion.attempts == 2


async def test_q_llm_3_a_server_that_ignores_n_gets_single_requests() -> None:
    """Choices are as many requests of one each, side by side, and a fixed seed moves along."""
    client, backend = client_of(lambda path, body: completion_reply(str(body["seed"])), honours_n=False)
    completion = await client.complete(request(n=3, seed=42))
    assert [body.get("n", 1) for _, body in backend.sent] == [1, 1, 1]
    assert sorted(choice.text for choice in completion.choices) == ["42", "43", "44"]


@pytest.mark.parametrize(
    "trouble",
    [
        json_reply({"error": {"message": "busy"}}, 429),
        json_reply({"error": {"message": "broken"}}, 500),
        HttpReply(502, {}, b"<html><title>Bad Gateway</title></html>"),
        HttpReply(200, {}, b'{"choices": [{"te'),
        json_reply({"choices": []}),
        ConnectFailed("reset"),
        AttemptTimeout("too slow"),
    ],
    ids=["429", "500", "502", "cut", "empty", "reset", "timeout"],
)
async def test_passing_trouble_is_tried_again(trouble: HttpReply | Exception) -> None:
    """What may pass is tried again, with a longer deadline, up to the budget."""
    answers: list[HttpReply | Exception] = [trouble, completion_reply("fine")]
    client, backend = client_of(lambda path, body: answers.pop(0))
    completion = await client.complete(request())
    assert completion.choices[0].text == "fine"
    assert completion.attempts == 2
    less = isinstance(trouble, HttpReply) and trouble.status == 429
    assert backend.timeouts == [600.0, 600.0 if less else 900.0]  # being told "less" costs no attempt
    assert sum(client.report().failures.values()) == 1


@pytest.mark.parametrize(("answered", "longest"), [(200, 1.0), (0, 8.0)], ids=["others_answered", "nobody"])
async def test_pauses_after_429_grow_only_where_many_are_refused(
    monkeypatch: pytest.MonkeyPatch, answered: int, longest: float
) -> None:
    """A call that has bad luck where most calls are answered tries again soon; where none are it waits."""
    pauses: list[float] = []
    sleep = anyio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    answers = [completion_reply("fine")] * answered + [json_reply({}, 429)] * 50 + [completion_reply("late")]
    policy = RetryPolicy(max_attempts=5, first_delay=1.0)
    client, _ = client_of(lambda path, body: answers.pop(0), policy=policy)
    for root in range(answered):
        await client.complete(request(root=root))
    monkeypatch.setattr(anyio, "sleep", noted)
    completion = await client.complete(request(root=answered))
    assert completion.choices[0].text == "late"
    assert 0.5 <= pauses[0] <= 1.0
    assert longest / 2 <= max(pauses[:7]) <= longest
    assert 4.0 <= max(pauses) <= 8.0  # in the end the first server refuses many, too


@pytest.mark.parametrize("answered", [0, 100])
async def test_less_costs_no_attempt_where_there_is_only_one(answered: int) -> None:
    """With a single attempt a call, too, be the teacher one that seldom says so or one that always did."""
    answers = [completion_reply("fine")] * answered + [json_reply({}, 429)] * 3 + [completion_reply("late")]
    policy = RetryPolicy(max_attempts=1, first_delay=0.0)
    client, _ = client_of(lambda path, body: answers.pop(0), policy=policy)
    completions = [await client.complete(request(root=root)) for root in range(answered + 1)]
    assert completions[-1].choices[0].text == "late"


async def test_a_budget_that_is_used_up_rejects_the_record() -> None:
    """After the last attempt the record is a reject that says how the attempts ended."""
    client, backend = client_of(
        lambda path, body: (
            json_reply({"error": {"message": "CUDA error"}}, 500)
            if body["prompt"] == "prompt 7"
            else completion_reply("fine")
        )
    )
    with pytest.raises(RecordError, match=r"3 attempts failed.*HTTP 500: CUDA error") as caught:
        await client.complete(request(root=7))
    assert caught.value.reason == "teacher_failed"
    assert len(backend.sent) == 3
    assert (await client.complete(request())).choices[0].text == "fine"


async def test_a_refused_request_rejects_the_record_with_the_servers_words() -> None:
    """A 400 is not tried again; the reject carries what the server said."""
    client, backend = client_of(
        lambda path, body: json_reply({"error": {"message": "I do not like this prompt"}}, 400)
    )
    with pytest.raises(RecordError) as caught:
        await client.complete(request())
    assert caught.value.reason == "request_refused"
    assert "I do not like this prompt" in caught.value.server
    assert len(backend.sent) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_what_no_request_can_overcome_ends_the_run(status: int) -> None:
    """Key, permission and model errors stop the run at once, without the key in the message."""
    words = {"error": {"message": "Incorrect API key provided: sk-secret-1"}}
    client, backend = client_of(lambda path, body: json_reply(words, status), secrets=["sk-secret-1"])
    with pytest.raises(TeacherUnusable) as caught:
        await client.complete(request())
    assert "sk-secret-1" not in str(caught.value)
    assert "Incorrect API key provided: [redacted]" in str(caught.value)
    assert len(backend.sent) == 1


async def test_a_server_that_is_gone_for_too_long_ends_the_run() -> None:
    """An outage costs no record an attempt, but not for longer than allowed."""
    refused = ConnectFailed("cannot connect: Connection refused")
    refused.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    client, backend = client_of(lambda path, body: refused)
    with pytest.raises(TeacherUnusable, match=r"no answer for .*Connection refused"):
        await client.complete(request())
    assert len(backend.sent) > QUICK.max_attempts
    assert client.report().outages == 1


async def test_a_server_that_comes_back_costs_no_record() -> None:
    """Everything fails for a while, for many calls at once: all are answered in the end."""
    sent = 0

    async def script(path: str, body: Any) -> HttpReply | Exception:
        nonlocal sent
        sent += 1
        await anyio.lowlevel.checkpoint()
        return json_reply({}, 500) if sent <= 40 else completion_reply("fine")

    client, _ = client_of(script, breaker=Breaker(max_outage=20, first_probe=0.001, longest_probe=0.001))
    async with anyio.create_task_group() as tasks:
        for root in range(30):
            tasks.start_soon(client.complete, request(root=root, temperature=1.0))
    report = client.report()
    assert (report.calls, report.failed_calls, report.outages) == (30, 0, 1)


async def test_first_calls_that_are_all_refused_end_the_run() -> None:
    """When nothing was ever answered, twenty refusals are enough to know."""
    client, backend = client_of(lambda path, body: json_reply({"error": {"message": "no"}}, 400))
    for root in range(19):
        with pytest.raises(RecordError):
            await client.complete(request(root=root))
    with pytest.raises(TeacherUnusable, match="all of the first 20 calls"):
        await client.complete(request(root=19))
    assert len(backend.sent) == 20


async def test_refusals_are_the_records_own_where_an_earlier_session_was_answered() -> None:
    """A run that goes on may ask first what was refused before: that says nothing of the rest."""
    client, backend = client_of(lambda path, body: json_reply({"error": {"message": "no"}}, 400))
    client.answered_before(request().shape.family)
    for root in range(30):
        with pytest.raises(RecordError):
            await client.complete(request(root=root))
    assert len(backend.sent) == 30


async def test_a_parameter_that_the_server_does_not_know_is_a_config_mistake() -> None:
    """It would be refused for every record; once a block was answered, a refusal is that record's own."""
    words = {"error": {"message": "Unknown parameter: guided_choice", "code": "unknown_parameter"}}
    client, _ = client_of(lambda path, body: json_reply(words, 400))
    with pytest.raises(ConfigError, match="guided_choice"):
        await client.complete(request())
    answers = [completion_reply("fine"), json_reply(words, 400)]
    client, _ = client_of(lambda path, body: answers.pop(0))
    await client.complete(request())
    with pytest.raises(RecordError):
        await client.complete(request(root=1))


async def test_identical_greedy_requests_are_one_call() -> None:
    """In flight and afterwards; sampled ones are asked each time."""
    client, backend = client_of(lambda path, body: completion_reply("x"))
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(client.complete, request())
    await client.complete(request())
    assert len(backend.sent) == 1
    assert (client.report().calls, client.report().saved_calls) == (11, 10)
    for _ in range(2):
        await client.complete(request(temperature=0.7))
    assert len(backend.sent) == 3


async def test_a_stale_connection_is_tried_again_for_free() -> None:
    """A kept-alive connection that the server had closed costs no attempt of the budget."""
    answers: list[HttpReply | Exception] = [ConnectFailed("closed", stale=True), completion_reply("fine")]
    client, backend = client_of(lambda path, body: answers.pop(0), policy=RetryPolicy(max_attempts=1))
    completion = await client.complete(request())
    assert completion.attempts == 1
    assert len(backend.sent) == 2
    assert client.report().failures == {}


async def test_slots_go_to_the_deepest_block_then_to_the_oldest_root() -> None:
    """With one slot, waiting calls are admitted deepest first, then by root."""
    gate = anyio.Event()
    asked: list[str] = []

    async def script(path: str, body: Any) -> HttpReply:
        asked.append(body["prompt"])
        await gate.wait()
        return completion_reply("x")

    client, backend = client_of(script, controller=Fixed(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.complete, request(root=0))
        await anyio.wait_all_tasks_blocked()
        for depth, root in [(0, 1), (2, 9), (1, 4), (2, 5), (0, 2)]:
            tasks.start_soon(client.complete, request(depth=depth, root=root))
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert asked == [f"prompt {root}" for root in (0, 5, 9, 4, 1, 2)]
    assert backend.most_in_flight == 1


async def test_choices_cost_slots() -> None:
    """A call for several choices takes as many slots; one is let in whenever any slot is free."""
    gate = anyio.Event()

    async def script(path: str, body: Any) -> HttpReply:
        await gate.wait()
        return completion_reply(*["x"] * body["n"])

    client, backend = client_of(script, controller=Fixed(8))
    async with anyio.create_task_group() as tasks:
        for root in range(5):
            tasks.start_soon(client.complete, request(n=3, root=root))
        await anyio.wait_all_tasks_blocked()
        assert backend.in_flight == 3
        gate.set()


async def test_a_cancelled_caller_gives_its_slot_back() -> None:
    """Cancelling a call that waits, and one that was just admitted, loses no slot."""
    gate = anyio.Event()

    async def script(path: str, body: Any) -> HttpReply:
        await gate.wait()
        return completion_reply("x")

    client, _ = client_of(script, controller=Fixed(2))
    async with anyio.create_task_group() as tasks:
        for root in range(6):
            tasks.start_soon(client.complete, request(root=root))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert client.report().in_flight == 0
    gate.set()
    assert (await client.complete(request())).choices[0].text == "x"


async def test_a_pause_between_attempts_holds_no_slot() -> None:
    """While a call waits to be tried again, another one uses the slot."""
    first = [json_reply({}, 500)]

    def script(path: str, body: Any) -> HttpReply:
        return first.pop() if body["prompt"] == "prompt 0" and first else completion_reply("x")

    policy = RetryPolicy(first_delay=0.1)
    client, backend = client_of(script, controller=Fixed(1), policy=policy)
    done: list[int] = []

    async def ask(root: int) -> Completion:
        completion = await client.complete(request(root=root))
        done.append(root)
        return completion

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, 0)
        tasks.start_soon(ask, 1)
    assert done == [1, 0]
    assert backend.most_in_flight == 1


async def test_all_senders_wait_when_the_server_asks_for_it() -> None:
    """Retry-After pauses everybody, not only the call that was told."""
    first = [json_reply({}, 503, {"retry-after": "0.2"})]
    client, backend = client_of(lambda path, body: first.pop() if first else completion_reply("x"))
    started = anyio.current_time()
    await client.complete(request())
    await client.complete(request(root=1))
    assert anyio.current_time() - started >= 0.2
    assert len(backend.sent) == 3


async def test_calls_go_to_the_least_loaded_endpoint() -> None:
    """Two replicas share the calls in flight."""
    gate = anyio.Event()

    async def script(path: str, body: Any) -> HttpReply:
        await gate.wait()
        return completion_reply("x")

    endpoints = [Endpoint("http://one/a"), Endpoint("http://two/b")]
    client, backend = client_of(script, endpoints=endpoints)
    async with anyio.create_task_group() as tasks:
        for root in range(10):
            tasks.start_soon(client.complete, request(root=root))
        await anyio.wait_all_tasks_blocked()
        assert [endpoint.in_flight for endpoint in endpoints] == [5, 5]
        gate.set()
    assert sorted({path for path, _ in backend.sent}) == ["/a/completions", "/b/completions"]
