"""Where questions come from: files, synthetic text, a pipeline's own first block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from sdg_stream.abc import HttpReply
from sdg_stream.config.settings import Settings
from sdg_stream.errors import ConfigError
from sdg_stream.loadtest.questions import from_requests, read_prompts
from sdg_stream.loadtest.recording import Recorder, record_prompts
from sdg_stream.loadtest.synthetic import Measure, TokenShape, measure_text, synthetic
from sdg_stream.pipeline import Pipeline
from sdg_stream.testing.backend import ScriptedBackend, completion_reply, json_reply

pytestmark = pytest.mark.anyio


def counting(body: Any, *, per_token: int = 5, overhead: int = 12) -> HttpReply:
    """A server whose tokens have five characters and whose chat template has twelve tokens."""
    prompt = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
    return completion_reply("a", usage=(len(prompt) // per_token + overhead, 1))


async def test_rows_of_a_file_are_asked_in_turn(tmp_path: Path) -> None:
    """Prompts, messages, and their own n and max_tokens; after the last the first comes again."""
    rows = [{"prompt": "one", "max_tokens": 5}, {"messages": [{"role": "user", "content": "two"}], "n": 3}]
    (tmp_path / "p.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    requests = await read_prompts(tmp_path / "p.jsonl", api="completions", model="m", max_tokens=64)
    questions = from_requests(requests, "two", stream=True)
    first, second, third = (questions.next() for _ in range(3))
    assert (first.path, second.path, third) == ("/completions", "/chat/completions", first)
    assert (questions.choices, questions.distinct) == (2, 2)
    body = orjson.loads(first.body)
    assert (body["prompt"], body["max_tokens"], body["stream"]) == ("one", 5, True)
    assert orjson.loads(second.body)["max_tokens"] == 64
    assert b"stream" not in from_requests(requests, "", stream=False).next().body


async def test_mistakes_in_a_file_are_listed_with_their_rows(tmp_path: Path) -> None:
    """All at once."""
    lines = ['{"text": "a"}', "not json", '{"prompt": "a", "n": 0}', '{"messages": "hi"}']
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    with pytest.raises(ConfigError) as caught:
        await read_prompts(tmp_path / "p.jsonl", api="completions", model="m", max_tokens=64)
    words = str(caught.value)
    assert "row 1: expected a text in prompt, or messages" in words
    assert "line 2" in words
    assert "row 3: n must be" in words
    assert len(caught.value.problems) == 4
    (tmp_path / "p.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match="holds no prompts"):
        await read_prompts(tmp_path / "p.jsonl", api="completions", model="m", max_tokens=64)


@pytest.mark.parametrize("api", ["completions", "chat"])
async def test_synthetic_prompts_have_the_tokens_that_were_asked_for(api: Any) -> None:
    """Two tiny requests tell the server's measure, and prompts are cut to it, to a few percent."""
    backend = ScriptedBackend(lambda _path, body: counting(body))
    measure = await measure_text(backend, "http://x/v1", api=api, model="m", headers={})
    assert measure.told
    assert measure.full_length
    assert measure.characters == pytest.approx(5, rel=0.02)
    questions = synthetic(TokenShape(prompt=300, output=50), measure, api=api, model="m", stream=True)
    for _ in range(5):
        body = orjson.loads(questions.next().body)
        found = orjson.loads(counting(body).body)["usage"]["prompt_tokens"]
        assert found == pytest.approx(300, rel=0.03)
        assert (body["max_tokens"], body["ignore_eos"], body["stream"]) == (50, True, True)


async def test_a_server_that_refuses_the_length_parameter_is_asked_without() -> None:
    """Hosted services do not know it; then the words say that replies may be shorter."""

    def strict(_path: str, body: Any) -> HttpReply:
        return json_reply({"error": {"message": "unknown"}}, 400) if "ignore_eos" in body else counting(body)

    backend = ScriptedBackend(strict)
    measure = await measure_text(backend, "http://x/v1", api="completions", model="m", headers={})
    assert not measure.full_length
    questions = synthetic(TokenShape(), measure, api="completions", model="m", stream=False)
    assert b"ignore_eos" not in questions.next().body
    assert "replies of up to 128" in questions.about


def test_prompts_share_what_they_are_meant_to_share_and_no_more() -> None:
    """A common beginning of the size that was asked for; then every one differs, also between runs."""
    size = TokenShape(prompt=200, output=10, shared=50)
    questions = synthetic(size, Measure(told=True), api="completions", model="m", stream=False, mark="run1")
    prompts = [orjson.loads(questions.next().body)["prompt"] for _ in range(500)]
    assert len(set(prompts)) == 500
    one, other = prompts[:2]
    common = next(place for place in range(len(one)) if one[place] != other[place])
    assert common == pytest.approx(50 * 4, abs=20)
    later = synthetic(size, Measure(told=True), api="completions", model="m", stream=False, mark="run2")
    assert orjson.loads(later.next().body)["prompt"][:4] != prompts[0][:4]


async def test_a_pipelines_first_block_asks_and_no_other() -> None:
    """The prompts of the first asking block, in input order, with its own parameters; nobody is asked."""
    pipeline = Pipeline.load("full/knowledge", Settings(model_id="m", model_family="mixtral"))
    seeds = Path(__file__).parents[3] / "pipelines" / "examples" / "seeds" / "knowledge.jsonl"
    found = await record_prompts(pipeline, seeds, Recorder("m", "completions"), limit=3)
    assert len({request.depth for request in found}) == 1
    assert {request.root for request in found} == {0, 1, 2}
    assert [request.root for request in found] == sorted(request.root for request in found)
    assert all(request.shape.model == "m" for request in found)


async def test_rows_that_reach_no_asking_block_are_told(tmp_path: Path) -> None:
    """With the reason of the first reject."""
    (tmp_path / "in.jsonl").write_text("[1]\n")
    pipeline = Pipeline.load("full/knowledge", Settings(model_id="m", model_family="mixtral"))
    with pytest.raises(ConfigError, match=r"no row of .* reaches a block"):
        await record_prompts(pipeline, tmp_path / "in.jsonl", Recorder("m", "completions"), limit=3)
