"""Faults 10 to 14 and 21 to 29 of the fault catalogue, as far as they concern replies.

Blocks ask a simulated teacher over real sockets, which makes the faults on purpose. What a connection does
(row 13: the cap on bodies) is shown where connections are tested.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from sdg_stream.abc import Api, CallShape, Context, HttpReply, Request
from sdg_stream.blocks.llm_block import LLMBlock
from sdg_stream.errors import BadReply, ConfigError, RecordError
from sdg_stream.prompts.assembly import PARTS
from sdg_stream.record import Columns
from sdg_stream.simulator import Fault, FaultRule, SimulatorSettings
from sdg_stream.simulator.server import SimulatorServer, serve
from sdg_stream.simulator.settings import FaultKind
from sdg_stream.teacher.client import TeacherClient
from sdg_stream.teacher.http import AiohttpBackend
from sdg_stream.teacher.refusals import refusal_reason
from sdg_stream.teacher.retry import RetryPolicy
from sdg_stream.teacher.routing import Endpoint
from sdg_stream.teacher.wire import decode_reply
from sdg_stream.testing.backend import ScriptedBackend, completion_reply
from sdg_stream.testing.run_blocks import Outcome, make_block, run_blocks

pytestmark = pytest.mark.anyio

REPLIES = Path(__file__).parents[1] / "contract" / "replies"
ONE = CallShape.make("completions", {"model": "m"})


@asynccontextmanager
async def teacher_of(
    server: SimulatorServer, api: Api, max_model_len: int | None
) -> AsyncIterator[TeacherClient]:
    """A client that makes three attempts a call and does not pause between them."""
    teacher = TeacherClient(
        AiohttpBackend(),
        [Endpoint(server.url)],
        model=server.settings.model,
        api=api,
        max_model_len=max_model_len,
        policy=RetryPolicy(max_attempts=3, first_delay=0.0),
    )
    try:
        yield teacher
    finally:
        await teacher.aclose()


class Bench:
    """One LLMBlock in front of a simulated teacher with a fault; replies are ``[a]fine[/a]``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.block: Any = None
        self.report: Any = None
        self.requests = 0

    async def run(
        self,
        fault: FaultKind | Fault | None = None,
        *,
        attempts: int | None = None,
        rows: int | list[Columns] = 1,
        api: Api = "completions",
        server: dict[str, Any] | None = None,
        tags: tuple[str, str] = ("[a]", "[/a]"),
        max_model_len: int | None = None,
        **keys: Any,
    ) -> Outcome:
        """Ask for records, or for so many; ``keys`` are the block's."""
        columns = rows if isinstance(rows, list) else [{"q": f"question {number}"} for number in range(rows)]
        prompt = {
            **dict.fromkeys(PARTS, ""),
            "generation": "{{q}}",
            "start_tags": [tags[0]],
            "end_tags": [tags[1]],
        }
        (self.folder / "ask.yaml").write_text(yaml.safe_dump(prompt), encoding="utf-8")
        kind = Fault(kind=fault) if isinstance(fault, str) else fault
        rules = () if kind is None else (FaultRule(fault=kind, attempts=attempts),)
        settings = SimulatorSettings(
            **{"latency": "zero", "reply": "[a]fine[/a]", "faults": rules, **(server or {})}
        )
        async with serve(settings) as running, teacher_of(running, api, max_model_len) as teacher:
            context = Context("ask", base_dir=self.folder, teacher=teacher)
            config = {"config_path": "ask.yaml", "output_cols": ["a"], "model_prompt": "", **keys}
            self.block = make_block(LLMBlock, config, context)
            try:
                outcome = await run_blocks([self.block], columns)
            finally:
                self.report, self.requests = teacher.report(), running.stats.requests
        return outcome


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench in a folder of its own."""
    return Bench(tmp_path)


def shape_of(server: str, name: str) -> tuple[int, bytes]:
    """Status and body of a documented refusal."""
    cases = json.loads((REPLIES / f"{server}.json").read_text(encoding="utf-8"))["cases"]
    [case] = [one for one in cases if one["name"] == name]
    return case["status"], orjson.dumps(case["body"])


def answers(outcome: Outcome) -> list[Any]:
    """The column ``a`` of the rows."""
    return [row["a"] for row in outcome.rows]


def the_reject(outcome: Outcome) -> RecordError:
    """The only reject."""
    assert not outcome.rows
    [(_, error)] = outcome.rejects
    return error


# ---------------------------------------------------------------- bodies that are no replies


def test_row_10_a_reply_cut_at_any_byte_is_no_reply() -> None:
    """Whatever part of a reply came, nothing of it is used."""
    body = orjson.dumps({"choices": [{"index": 0, "text": "fine ü", "finish_reason": "stop"}], "usage": None})
    assert decode_reply(body, ONE).choices[0].text == "fine ü"
    for end in range(len(body)):
        with pytest.raises(BadReply):
            decode_reply(body[:end], ONE)


async def test_row_10_a_torn_reply_is_asked_for_again(bench: Bench) -> None:
    """One torn reply costs one more attempt; torn ones only reject the record with their first bytes."""
    assert answers(await bench.run("torn_json", attempts=1)) == ["fine"]
    assert bench.requests == 2
    error = the_reject(await bench.run("torn_json"))
    assert (error.reason, bench.requests) == ("teacher_failed", 3)
    assert '{"id":"cmpl-' in error.message


async def test_row_11_a_wrong_content_type_is_no_matter(bench: Bench) -> None:
    """JSON is JSON, whatever its header says."""
    assert answers(await bench.run("wrong_type")) == ["fine"]


async def test_row_12_a_page_instead_of_a_reply_is_told_by_its_title(bench: Bench) -> None:
    """A proxy's page with status 200 is asked again; where nothing else comes its title says what it is."""
    assert answers(await bench.run("html", attempts=1)) == ["fine"]
    error = the_reject(await bench.run("html"))
    assert "Sign in (simulated proxy)" in error.message
    assert "<html>" not in error.message


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\\ud800", b"\\udc00\\ud800", b"\xed\xa0\x80"])
def test_row_14_what_is_not_unicode_is_no_reply(text: bytes) -> None:
    """Bytes that are not UTF-8 and lone surrogates, escaped or not, never become text."""
    with pytest.raises(BadReply):
        decode_reply(b'{"choices": [{"text": "a' + text + b'"}]}', ONE)


async def test_row_14_bad_encoding_is_asked_for_again_and_never_written(bench: Bench) -> None:
    """The next attempt may be sound; if none is, the call fails. NUL, which is JSON, rejects the record."""
    bad = HttpReply(200, {}, b'{"choices": [{"text": "a\xff"}]}')
    replies = iter([bad, completion_reply("fine"), bad, bad, bad])
    policy = RetryPolicy(max_attempts=3, first_delay=0.0)
    teacher = TeacherClient(
        ScriptedBackend(lambda path, body: next(replies)), [Endpoint("http://one/v1")], policy=policy
    )
    assert (await teacher.complete(Request(ONE, "q"))).choices[0].text == "fine"
    with pytest.raises(RecordError):
        await teacher.complete(Request(ONE, "q"))
    assert the_reject(await bench.run(server={"reply": "[a]a\0b[/a]"})).reason == "bad_encoding"


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("vllm", "context too long, prompt and reply, 2026"),
        ("openai", "context too long"),
        ("llama_cpp", "context too long, as a 500"),
        ("tgi", "context too long, the prompt alone"),
        ("ollama", "context too long"),
    ],
)
def test_row_21_a_context_that_is_too_long_is_known_by_its_words(server: str, name: str) -> None:
    """Each server says it in its own way, some with a status that says something else."""
    assert refusal_reason(*shape_of(server, name)) == "context_length"


async def test_row_21_a_record_that_is_too_long_ends_alone_with_both_counts(bench: Bench) -> None:
    """One attempt, the server's numbers in the reject, and the other records go on."""
    rows = [{"q": "word " * 300}, {"q": "short"}]
    server = {"max_model_len": 200, "reply": "[a]fine[/a]"}
    outcome = await bench.run(rows=rows, server=server, gen_kwargs={"max_tokens": 100})
    assert answers(outcome) == ["fine"]
    [(root, error)] = outcome.rejects
    assert (root, error.reason, bench.requests) == (0, "context_length", 2)
    assert "maximum context length is 200 tokens" in error.server
    assert re.search(r"\d+ in the prompt, 100 in the completion", error.server)


async def test_row_21_what_cannot_fit_is_not_asked(bench: Bench) -> None:
    """Where the context's length is known, a prompt that no tokenizer could make fit costs no call."""
    outcome = await bench.run(rows=[{"q": "x" * 4000}], server={"max_model_len": 200}, max_model_len=200)
    error = the_reject(outcome)
    assert (error.reason, bench.requests) == ("context_length", 0)
    assert error.message.startswith(
        "the prompt of 4000 characters has at least 250 tokens; the model takes 200"
    )


async def test_row_21_max_tokens_are_shrunk_if_wanted(bench: Bench) -> None:
    """``on_context_overflow: clip`` asks again for the tokens that the server's own count leaves."""
    server = {"max_model_len": 200, "reply": "[a]fine[/a]"}
    outcome = await bench.run(rows=[{"q": "word " * 100}], server=server, on_context_overflow="clip")
    assert (answers(outcome), bench.requests) == (["fine"], 2)


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("vllm", "a parameter it does not know"),
        ("openai", "a parameter that the model does not take"),
        ("openai", "a parameter that nobody knows"),
        ("tgi", "a parameter out of range"),
    ],
)
def test_row_22_a_parameter_that_no_record_could_use_is_told_apart(server: str, name: str) -> None:
    """What is wrong with all requests alike is not one record's fault."""
    assert refusal_reason(*shape_of(server, name)) == "bad_parameter"


async def test_row_22_a_parameter_that_no_record_could_use_stops_the_run(bench: Bench) -> None:
    """Nothing is gained by asking for the other records: the mistake is in the pipeline."""
    fault = Fault(status=400, message="Unrecognized request argument supplied: guided_jsn")
    with pytest.raises(ConfigError, match="guided_jsn"):
        await bench.run(fault, rows=3)
    assert bench.requests == 1


def test_row_23_a_filtered_prompt_is_known_by_its_code() -> None:
    """Azure's 400 is this record's fault and no other's."""
    assert refusal_reason(*shape_of("azure", "a prompt that the filter stops")) == "content_filter"
    assert refusal_reason(*shape_of("azure", "the same, as the newer API says it")) == "content_filter"


async def test_row_23_a_filtered_prompt_ends_its_record_alone(bench: Bench) -> None:
    """One attempt, its own reason, and the other records go on."""
    words = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    rule = FaultRule(fault=Fault(status=400, message=words), match="question 1")
    outcome = await bench.run(rows=3, server={"reply": "[a]fine[/a]", "faults": (rule,)})
    assert answers(outcome) == ["fine", "fine"]
    [(root, error)] = outcome.rejects
    assert (root, error.reason, bench.requests) == (1, "content_filter", 3)


async def test_row_23_a_filtered_reply_is_kept_or_dropped_and_not_asked_for_again(bench: Bench) -> None:
    """Kept by default and counted; dropped on demand, without another call."""
    assert answers(await bench.run("content_filter")) == ["fine"]
    assert bench.block.context.filtered_replies == 1
    error = the_reject(await bench.run("content_filter", on_content_filter="drop", parse_retries=3))
    assert (error.reason, error.server, bench.requests) == ("content_filter", "[a]fine[/a]", 1)


# ---------------------------------------------------------------- replies that are not whole


LONG = {"reply": "[a]" + "word " * 40 + "[/a]"}


async def test_row_24_a_cut_off_reply_follows_the_policy(bench: Bench) -> None:
    """Kept and counted, dropped with its reason, or asked for with twice the tokens until it is whole."""
    whole = ("", "")
    kept = await bench.run(server=LONG, tags=whole, gen_kwargs={"max_tokens": 16})
    assert answers(kept)[0].startswith("[a]word")
    assert bench.block.context.cut_replies == 1
    dropped = await bench.run(server=LONG, tags=whole, gen_kwargs={"max_tokens": 16}, on_length="drop")
    assert the_reject(dropped).reason == "cut_off"
    retried = await bench.run(server=LONG, gen_kwargs={"max_tokens": 16}, on_length="retry")
    assert answers(retried) == [("word " * 40).strip()]
    assert 2 <= bench.requests <= 4


async def test_row_24_what_stays_cut_off_is_never_passed_as_whole(bench: Bench) -> None:
    """After eight times the tokens the record ends, and the message says how often it was asked."""
    server = {"reply": "word " * 400}
    error = the_reject(
        await bench.run(server=server, tags=("", ""), gen_kwargs={"max_tokens": 8}, on_length="retry")
    )
    assert (error.reason, bench.requests) == ("cut_off", 4)
    assert error.message.endswith("asked 4 times")


@pytest.mark.parametrize("fault", ["null_text", "empty_text"])
@pytest.mark.parametrize("api", ["completions", "chat"])
async def test_row_25_empty_content_is_asked_for_again_with_a_new_seed(
    bench: Bench, fault: FaultKind, api: Api
) -> None:
    """Null and empty text are the same; after k retries the record ends. Without tags it may be dropped."""
    assert answers(await bench.run(fault, attempts=2, api=api, parse_retries=2)) == ["fine"]
    assert (bench.requests, bench.block.context.parse_retries) == (3, 2)
    error = the_reject(await bench.run(fault, api=api, parse_retries=1))
    assert (error.reason, bench.requests) == ("unparsed_reply", 2)
    assert "it is empty" in error.message
    assert answers(await bench.run(fault, api=api, tags=("", ""))) == [None]
    dropped = await bench.run(fault, api=api, tags=("", ""), on_empty="drop", parse_retries=1)
    assert (the_reject(dropped).reason, bench.requests) == ("empty_reply", 2)


@pytest.mark.parametrize("api", ["completions", "chat"])
async def test_row_26_reasoning_without_an_answer_says_what_to_do(bench: Bench, api: Api) -> None:
    """The thoughts are the reject's evidence; more tokens would have brought an answer."""
    error = the_reject(await bench.run("reasoning_only", api=api, tags=("", "")))
    assert (error.reason, error.server) == ("only_reasoning", "[a]fine[/a]")
    assert "raise max_tokens" in error.message


async def test_row_26_thoughts_in_the_text_are_no_answer(bench: Bench) -> None:
    """Split off before parsing, in its own column if wanted."""
    server = {"reply": "<think>[a]perhaps[/a]</think>\n\n[a]fine[/a]"}
    assert (await bench.run(server=server, reasoning_col="why")).rows == [
        {"q": "question 0", "a": "fine", "why": "[a]perhaps[/a]"}
    ]


# ---------------------------------------------------------------- choices and usage


@pytest.mark.parametrize("fault", ["no_choices", "fewer_choices", "extra_choice", "shuffled"])
async def test_rows_27_and_28_choices_are_completed_and_put_in_order(bench: Bench, fault: FaultKind) -> None:
    """Missing choices are asked for, additional ones left out, shuffled ones matched by their index."""
    outcome = await bench.run(fault, attempts=1, gen_kwargs={"n": 3, "temperature": 1.0})
    assert answers(outcome) == ["fine"] * 3
    assert bench.requests == (1 if fault in {"extra_choice", "shuffled"} else 2)


async def test_row_27_what_never_comes_rejects_the_record(bench: Bench) -> None:
    """A reply without choices is no reply; after the budget the record ends."""
    assert the_reject(await bench.run("no_choices")).reason == "teacher_failed"


@pytest.mark.parametrize(
    "choices",
    [
        [{"index": 2, "text": "c"}, {"index": 0, "text": "a"}, {"index": 1, "text": "b"}],
        [{"index": 0, "text": "a"}, {"index": 0, "text": "b"}, {"index": 0, "text": "c"}],
        [{"text": "a"}, {"text": "b"}, {"text": "c"}, {"text": "d"}],
        [{"index": "0", "text": "a"}, {"index": "1", "text": "b"}, {"index": "2", "text": "c"}],
    ],
    ids=["shuffled", "all the same", "none", "as text"],
)
def test_row_28_choices_come_in_their_order(choices: list[dict[str, Any]]) -> None:
    """By index where the indexes tell them apart, else as they stand."""
    shape = CallShape.make("completions", {"model": "m", "n": 3})
    decoded = decode_reply(orjson.dumps({"choices": choices}), shape)
    assert [choice.text for choice in decoded.choices] == ["a", "b", "c"]


async def test_row_29_without_usage_tokens_are_estimated_and_flagged(bench: Bench) -> None:
    """No reply is lost for it, and the report says that its tokens are estimates."""
    assert answers(await bench.run("no_usage")) == ["fine"]
    assert bench.report.tokens_estimated
    assert bench.report.completion_tokens > 0


@pytest.mark.parametrize("usage", [None, {}, [], "none", 5, {"prompt_tokens": "many"}, {"prompt_tokens": -1}])
def test_row_29_odd_usage_never_costs_a_reply(usage: Any) -> None:
    """Whatever stands there, the choices are read."""
    body = orjson.dumps({"choices": [{"text": "a"}], "usage": usage})
    assert decode_reply(body, ONE).choices[0].text == "a"
