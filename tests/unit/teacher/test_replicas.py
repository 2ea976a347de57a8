"""The teacher client over several endpoints: dead replicas, affinity, pools, stragglers, calls saved."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from sdg_stream.abc import CallShape, HttpReply, Request
from sdg_stream.errors import ConnectFailed, TeacherUnusable
from sdg_stream.teacher.client import TeacherClient
from sdg_stream.teacher.controller import Fixed
from sdg_stream.teacher.hedging import ENOUGH
from sdg_stream.teacher.retry import RetryPolicy
from sdg_stream.teacher.routing import FAILURES_IN_ROW, Endpoint
from sdg_stream.testing.backend import ScriptedBackend, completion_reply, json_reply

pytestmark = pytest.mark.anyio

NAMES = ("one", "two", "three")
SAMPLED = CallShape.make("completions", {"model": "m", "temperature": 1.0})
DOCUMENT = 2000  # characters


class Replicas:
    """Three scripted replicas, told apart by their paths, and a client over them."""

    def __init__(self, endpoints: list[Endpoint] | None = None, **more: Any) -> None:
        self.asked: list[tuple[str, str]] = []
        self.failing: dict[str, HttpReply | Exception] = {}
        self.waiting: dict[str, anyio.Event] = {}
        self.backend = ScriptedBackend(self._answer)
        self.client = TeacherClient(
            self.backend,
            endpoints or [Endpoint(f"http://host/{name}") for name in NAMES],
            **{"controller": Fixed(12), "policy": RetryPolicy(first_delay=0.0), **more},
        )

    async def _answer(self, path: str, body: Any) -> HttpReply | Exception:
        name = path.split("/")[1]
        self.asked.append((name, body["prompt"]))
        if name in self.waiting:
            await self.waiting[name].wait()
        await anyio.lowlevel.checkpoint()
        return self.failing.get(name) or completion_reply(name)

    async def ask(self, prompt: str, shape: CallShape = SAMPLED, root: int = 0) -> str:
        """One call; the name of the replica that answered."""
        completion = await self.client.complete(Request(shape, prompt, root=root))
        return completion.choices[0].text

    async def ask_all(self, prompts: list[str]) -> list[str]:
        """Side by side; who answered each."""
        found = [""] * len(prompts)

        async def one(number: int) -> None:
            found[number] = await self.ask(prompts[number], root=number)

        async with anyio.create_task_group() as tasks:
            for number in range(len(prompts)):
                tasks.start_soon(one, number)
        return found

    def share(self) -> Counter[str]:
        """Attempts by replica."""
        return Counter(name for name, _ in self.asked)


@pytest.mark.parametrize(
    "trouble",
    [
        ConnectFailed("reset"),
        json_reply({"error": {"message": "EngineDeadError"}}, 500),
        HttpReply(200, {}, b"<html><title>Sign in</title></html>"),
    ],
    ids=["reset", "500", "html"],
)
async def test_row_33_the_share_of_a_dead_replica_moves(trouble: HttpReply | Exception) -> None:
    """A replica that fails fast is idle and must not draw the calls: nobody's record is lost to it."""
    replicas = Replicas()
    replicas.failing["two"] = trouble
    answered = Counter(await replicas.ask_all([f"prompt {number}" for number in range(200)]))
    assert answered.keys() == {"one", "three"}
    assert answered.total() == 200
    assert replicas.share()["two"] <= FAILURES_IN_ROW + 12  # those that were in flight when it was put out
    assert abs(answered["one"] - answered["three"]) < 40
    report = replicas.client.report()
    assert report.failed_calls == 0
    assert report.outages == 0


async def test_records_of_a_document_go_to_one_replica() -> None:
    """Asked one after the other, so that load leaves the choice: each document stays where it was first."""
    replicas = Replicas()
    documents = [f"Document {number}. " + f"{number} " * DOCUMENT for number in range(6)]
    for document in documents:
        await replicas.ask(f"{document} first")
    replicas.asked.clear()
    homes = []
    for document in documents:
        homes.append({await replicas.ask(f"{document} {record}") for record in range(4)})
    assert [len(home) for home in homes] == [1] * 6
    assert set.union(*homes) == set(NAMES)


async def test_without_affinity_replicas_take_turns() -> None:
    """Every replica answers every document."""
    replicas = Replicas(affinity=False)
    document = "Document. " + "0 " * DOCUMENT
    assert {await replicas.ask(f"{document} {record}") for record in range(9)} == set(NAMES)


async def test_a_judge_may_be_another_server() -> None:
    """A shape that names a pool is asked there and nowhere else; the others never see that pool."""
    endpoints = [Endpoint("http://host/one"), Endpoint("http://host/two", name="judge", models=["strict"])]
    replicas = Replicas(endpoints)
    judge = CallShape.make("completions", {"model": "strict", "temperature": 1.0}, "judge")
    assert {await replicas.ask(f"prompt {number}") for number in range(4)} == {"one"}
    assert {await replicas.ask(f"prompt {number}", judge) for number in range(4)} == {"two"}
    with pytest.raises(TeacherUnusable, match="has the model 'm'"):
        await replicas.ask("prompt", CallShape.make("completions", {"model": "m"}, "judge"))


async def test_models_are_asked_where_they_are_listed() -> None:
    """Two servers with a model each, without any names for them."""
    endpoints = [Endpoint("http://host/one", models=["m"]), Endpoint("http://host/two", models=["strict"])]
    replicas = Replicas(endpoints)
    strict = CallShape.make("completions", {"model": "strict", "temperature": 1.0})
    assert {await replicas.ask(f"prompt {number}") for number in range(3)} == {"one"}
    assert {await replicas.ask(f"prompt {number}", strict) for number in range(3)} == {"two"}


async def test_a_straggler_is_asked_again_elsewhere() -> None:
    """With hedging a replica that hangs costs no record its time, and the report counts the second calls."""
    replicas = Replicas(hedge=True)
    hedging = replicas.client._caller.hedging
    assert hedging is not None
    for _ in range(ENOUGH):
        hedging.patience(Request(SAMPLED, ""))
        hedging.learn(Request(SAMPLED, ""), 0.1)
    replicas.waiting["one"] = anyio.Event()
    with anyio.fail_after(10):
        answers = {await replicas.ask(f"straggler {number}") for number in range(3)}
    assert answers <= {"two", "three"}
    assert replicas.client.report().hedged_calls == 1
    assert replicas.backend.in_flight == 0  # the straggler was cancelled


async def test_g9_equal_greedy_calls_are_bought_once() -> None:
    """Side by side and one after the other; the report says how many calls were saved."""
    replicas = Replicas()
    greedy = CallShape.make("completions", {"model": "m", "temperature": 0})
    async with anyio.create_task_group() as tasks:
        for root in range(5):
            tasks.start_soon(replicas.ask, "prompt", greedy, root)
    await replicas.ask("prompt", greedy, 9)
    assert len(replicas.asked) == 1
    report = replicas.client.report()
    assert report.saved_calls == 5
    assert (report.prompt_tokens, report.completion_tokens) == (10, 5)
