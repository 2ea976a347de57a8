"""How many tokens the model's context leaves: estimates, what refusals state, and what blocks do with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from llm_workshop import Workshop, reject_of, rows_of

from sdg_stream.abc import CallShape, Choice, Completion, Request
from sdg_stream.blocks.context_room import ContextRoom, prompt_chars, stated_counts
from sdg_stream.blocks.llm_block import LLMBlock
from sdg_stream.blocks.llm_messages_block import LLMMessagesBlock
from sdg_stream.errors import RecordError
from sdg_stream.testing.scripted import ScriptedTeacher

pytestmark = pytest.mark.anyio

REPLIES = Path(__file__).parents[2] / "contract" / "replies"
REFUSED = (
    "maximum context length is 1000 tokens. However, you requested 1100 tokens (700 in the prompt, 400 in"
)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A prompt file that takes the whole reply."""
    shop = Workshop(tmp_path)
    shop.write("whole.yaml", "{{q}}", start_tags=[""], end_tags=[""])
    return shop


def config(**keys: Any) -> dict[str, Any]:
    """A config whose replies have at most 400 tokens."""
    return {"config_path": "whole.yaml", "output_cols": ["a"], "gen_kwargs": {"max_tokens": 400}, **keys}


def refusal(words: str = REFUSED) -> RecordError:
    """A refusal of the server's for a request that is too long."""
    return RecordError("context_length", "the teacher refused the request", server=words)


def learnt(limit: int | None, chars: int, tokens: int) -> ContextRoom:
    """A room that has seen enough prompts of one kind."""
    room = ContextRoom(limit)
    for _ in range(8):
        room.learn(chars, tokens)
    return room


@pytest.mark.parametrize(
    ("server", "case", "counts"),
    [
        ("vllm", "context too long, until 0.10", (4096, 904)),
        ("vllm", "context too long, max_tokens too large", (4096, 904)),
        ("vllm", "context too long, prompt and reply, 2026", (4096, 3073)),
        ("vllm", "context too long, told as negative max_tokens", (None, None)),
        ("llama_cpp", "context too long", (8192, None)),
        ("llama_cpp", "context too long, llama-cpp-python", (512, 88)),
        ("tgi", "context too long, prompt and reply", (4096, 904)),
        ("sglang", "context too long, prompt and reply", (4096, 904)),
        ("openai", "context too long", (8192, None)),
    ],
)
def test_counts_that_refusals_state(server: str, case: str, counts: tuple[int | None, int | None]) -> None:
    """The context's length and the prompt's are read from the words of real servers."""
    cases = json.loads((REPLIES / f"{server}.json").read_text(encoding="utf-8"))["cases"]
    [body] = [one["body"] for one in cases if one["name"] == case]
    error = body.get("error", body)
    words = error if isinstance(error, str) else error["message"]
    assert stated_counts(words) == counts


def test_a_prompt_is_only_refused_here_if_no_tokenizer_could_make_it_fit() -> None:
    """Sixteen characters a token is more than texts have; the message states both numbers."""
    assert ContextRoom(None).fit(10**9, 400, clips=True) == 400
    assert ContextRoom(1000).fit(15_999, 400, clips=False) == 400
    with pytest.raises(
        RecordError, match="16000 characters has at least 1000 tokens; the model takes 1000"
    ) as caught:
        ContextRoom(1000).fit(16_000, 400, clips=True)
    assert caught.value.reason == "context_length"


def test_tokens_are_clipped_by_what_was_learnt() -> None:
    """With the characters a token of earlier calls the estimate is made, with a margin of 5 %."""
    assert ContextRoom(1000).fit(3200, 400, clips=True) == 400
    room = learnt(1000, 400, 100)
    assert room.fit(2000, 400, clips=True) == 400
    assert room.fit(3200, 400, clips=True) == 1000 - 840
    assert room.fit(3200, 400, clips=False) == 400
    assert room.fit(4400, 400, clips=True) == 1


def test_nonsense_is_not_learnt() -> None:
    """Servers that count nothing do not spoil the estimate."""
    room = learnt(1000, 400, 0)
    assert room.fit(3200, 400, clips=True) == 400


@pytest.mark.parametrize(
    ("words", "chars", "left"),
    [
        (REFUSED, 2000, 300),
        ("maximum context length is 1000 tokens, requested 1100 tokens (999 in the prompt", 2000, 1),
        ("maximum context length is 1000 tokens, requested 1100 tokens (1001 in the prompt", 2000, None),
        ("You passed 601 input tokens; the model's context length is only 1000 tokens", 2000, 160),
        ("You passed 601 input tokens; the model's context length is only 1000 tokens", 1000, 200),
        ("maximum context length is 1000 tokens.", 2000, 160),
        ("the prompt is too long", 2000, None),
    ],
    ids=["stated", "one", "none", "lower bound", "halved", "estimated", "nothing stated"],
)
def test_what_a_refusal_leaves(words: str, chars: int, left: int | None) -> None:
    """The stated count is exact unless vLLM stopped counting; what is no less than before is no help."""
    assert ContextRoom(None).left(words, chars, 400) == left
    assert ContextRoom(1000).left("too long", 2000, 400) == 160


def test_characters_of_messages() -> None:
    """Contents count, whatever they are."""
    assert prompt_chars("four") == 4
    assert prompt_chars([{"role": "user", "content": "four"}, {"role": "x", "content": None}, {}]) == 4


def test_a_shape_can_be_changed() -> None:
    """Other parameters stay; null ones and an n of 1 are not sent."""
    shape = CallShape.make(
        "chat", {"model": "m", "temperature": 0, "max_tokens": 9, "n": 3, "seed": 1, "stop": ["x"]}
    )
    changed = shape.changed(n=1, seed=None, max_tokens=5)
    assert changed.family == shape.family == shape.head
    assert msgspec.structs.replace(changed, family=changed.head) == CallShape.make(
        "chat", {"model": "m", "temperature": 0, "max_tokens": 5, "stop": ["x"]}
    )
    assert (shape.greedy, shape.changed(temperature=0.7).greedy) == (True, False)


async def test_too_long_a_prompt_costs_no_call(shop: Workshop) -> None:
    """What is certain is not asked; everything else is, and the server's refusal is the record's end."""
    teacher = ScriptedTeacher([refusal()], max_model_len=1000)
    block = shop.build(LLMBlock, config(), teacher)
    assert (await reject_of(block, {"q": "x" * 16_000})).reason == "context_length"
    assert not teacher.requests
    assert (await reject_of(block, {"q": "x" * 9_000})).server == REFUSED
    assert len(teacher.requests) == 1


async def test_the_length_is_that_of_the_teachers_own_model(shop: Workshop) -> None:
    """A block that asks another model may have another context: the server decides."""
    teacher = ScriptedTeacher(["x"], max_model_len=1000)
    block = shop.build(LLMBlock, config(gen_kwargs={"model": "other"}), teacher)
    assert await rows_of(block, {"q": "x" * 16_000})


@pytest.mark.parametrize("kind", [LLMBlock, LLMMessagesBlock])
async def test_clipping_asks_again_for_what_is_left(shop: Workshop, kind: Any) -> None:
    """``clip`` takes the room from the refusal, however the server came to its count."""
    teacher = ScriptedTeacher([refusal(), "x"])
    keys = {"gen_kwargs": {"max_tokens": 400}, "on_context_overflow": "clip"}
    whole = config(**keys) if kind is LLMBlock else {"input_col": "m", "output_col": "a", **keys}
    columns = {"q": "hi", "m": [{"role": "user", "content": "hi"}]}
    assert (await rows_of(shop.build(kind, whole, teacher), columns))[0]["a"] == "x"
    assert [request.shape.max_tokens for request in teacher.requests] == [400, 300]


async def test_clipping_ends(shop: Workshop) -> None:
    """A server that refuses every length is asked three times, one that states none only once."""
    always = ScriptedTeacher(
        lambda request: refusal(
            f"maximum context length is 1000 tokens, you requested 2000 "
            f"({1001 - request.shape.max_tokens // 2} in the prompt"
        )
    )
    block = shop.build(LLMBlock, config(on_context_overflow="clip"), always)
    assert (await reject_of(block, {"q": "hi"})).reason == "context_length"
    assert [request.shape.max_tokens for request in always.requests] == [400, 199, 98]
    silent = ScriptedTeacher([refusal("too long"), RecordError("teacher_failed", "down")])
    block = shop.build(LLMBlock, config(on_context_overflow="clip"), silent)
    assert (await reject_of(block, {"q": "hi"})).reason == "context_length"
    assert (await reject_of(block, {"q": "hi"})).reason == "teacher_failed"


async def test_blocks_learn_from_the_calls_that_they_make(shop: Workshop) -> None:
    """After a few replies long prompts are clipped first; calls of several attempts teach nothing."""

    def reply(request: Request) -> Completion:
        attempts = 1 if len(request.prompt) == 400 else 2
        return Completion([Choice("x", "stop")], prompt_tokens=100 * attempts, attempts=attempts)

    teacher = ScriptedTeacher(reply, max_model_len=1000)
    block = shop.build(LLMBlock, config(on_context_overflow="clip"), teacher)
    for _ in range(8):
        await rows_of(block, {"q": "x" * 400})
        await rows_of(block, {"q": "x" * 404})
    await rows_of(block, {"q": "x" * 3200})
    assert teacher.requests[-1].shape.max_tokens == 160
