"""Settings, fault rules, and which requests they meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdg_stream.errors import ConfigError
from sdg_stream.simulator import Fault, FaultRule, SimulatorSettings, load_faults
from sdg_stream.simulator.faults import FaultPlan
from sdg_stream.simulator.numbers import asked_count, scale_of
from sdg_stream.simulator.prompt_text import token_count
from sdg_stream.simulator.wire import Refusal, read_chat, read_completion


def test_fault_rules_are_read_from_yaml_and_json(tmp_path: Path) -> None:
    """Full and short forms, from a text and from a file."""
    text = """
    - {match: 3, fault: reset}
    - {match: [4, 9], fault: 503, attempts: 1}
    - {match: some text, fault: {status: 429, retry_after: 2, headers: {x-a: "1"}}}
    - {rate: 0.25, fault: {kind: slow, seconds: 0.5}}
    """
    rules = load_faults(text)
    assert rules == (
        FaultRule(match=3, fault=Fault(kind="reset")),
        FaultRule(match=(4, 9), fault=Fault(kind="status", status=503), attempts=1),
        FaultRule(match="some text", fault=Fault(status=429, retry_after=2, headers={"x-a": "1"})),
        FaultRule(rate=0.25, fault=Fault(kind="slow", seconds=0.5)),
    )
    file = tmp_path / "faults.json"
    file.write_text('[{"match": 3, "fault": "reset"}]')
    assert load_faults(file) == rules[:1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{match: 3}", "expected a list of fault rules"),
        ("[{match: 3}]", "the key 'fault' is missing"),
        ("[{mach: 3, fault: reset}]", "did you mean 'match'?"),
        ("[{fault: explode}]", "'explode'"),
        ("[3]", "expected a mapping"),
    ],
)
def test_mistakes_in_fault_rules_are_named(text: str, words: str) -> None:
    """Each mistake says what is wrong."""
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        load_faults(text)


@pytest.mark.parametrize("name", ["slots", "prefill_tokens_per_s", "decode_tokens_per_s", "max_model_len"])
def test_impossible_settings_are_refused(name: str) -> None:
    """A teacher needs at least one slot, and speeds above zero."""
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        SimulatorSettings(**{name: 0})  # type: ignore[arg-type]


def picks(settings: SimulatorSettings, prompts: list[str], attempt: int = 1) -> list[str | None]:
    """Kinds of the faults that these requests meet, one after the other."""
    plan = FaultPlan(settings)
    found = [plan.pick(number, [prompt], attempt) for number, prompt in enumerate(prompts, 1)]
    return [fault.kind if fault else None for fault in found]


def test_rules_match_by_number_range_text_and_attempt() -> None:
    """The first rule that applies wins; later attempts get through where the rule says so."""
    rules = load_faults(
        "[{match: 2, fault: reset}, {match: [2, 3], fault: hang}, {match: bee, fault: html, attempts: 1}]"
    )
    settings = SimulatorSettings(faults=rules)
    assert picks(settings, ["a", "b", "c", "a bee"]) == [None, "reset", "hang", "html"]
    assert picks(settings, ["a bee"], attempt=2) == [None]


def test_rates_choose_the_same_prompts_in_any_order() -> None:
    """A tenth of the prompts fails; which ones depends on the prompt, the attempt and the seed only."""
    rules = load_faults("[{rate: 0.1, fault: 500}]")
    settings = SimulatorSettings(faults=rules)
    prompts = [f"prompt {number}" for number in range(1000)]
    found = dict(zip(prompts, picks(settings, prompts), strict=True))
    assert 70 <= sum(kind is not None for kind in found.values()) <= 130
    assert found == dict(zip(prompts[::-1], picks(settings, prompts[::-1]), strict=True))
    assert list(found.values()) != picks(settings, prompts, attempt=2)
    assert list(found.values()) != picks(SimulatorSettings(faults=rules, seed=1), prompts)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "cannot be read"),
        (b'{"prompt": 5}', 400, "prompt"),
        (b'{"prompt": []}', 400, "prompt must be text"),
        (b'{"prompt": [1, 2]}', 400, "token ids|no tokenizer"),
        (b'{"prompt": "a", "model": "other"}', 404, "The model `other` does not exist"),
        (b'{"prompt": "a", "n": 0}', 400, "n must be at least 1"),
        (b'{"prompt": "a", "max_tokens": 0}', 400, "max_tokens must be at least 1"),
        (b'{"prompt": "a", "temperature": -1}', 400, "temperature must be non-negative"),
        (b'{"prompt": "a", "max_tokens": 40000}', 400, "maximum context length is 32768 tokens"),
        (b'{"prompt": "a", "guided_json": "{"}', 400, "not JSON"),
    ],
)
def test_bad_requests_are_refused_as_vllm_does(body: bytes, status: int, words: str) -> None:
    """Each mistake has its status and a body in vLLM's shape."""
    with pytest.raises(Refusal, match=words) as caught:
        read_completion(body, SimulatorSettings())
    assert caught.value.status == status
    assert b'"error":{"message":' in caught.value.body


def test_chat_requests_are_read() -> None:
    """Parts and several messages become one prompt; without a limit a reply may fill the context."""
    body = b"""{"messages": [{"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "logprobs": true, "top_logprobs": 2}"""
    asked = read_chat(body, SimulatorSettings())
    assert asked.prompts == ["Be brief.\n\nHello"]
    assert asked.max_tokens == 32_768 - token_count(asked.sent[0])
    assert (asked.chat, asked.logprobs) == (True, 2)
    with pytest.raises(Refusal, match="messages must not be empty"):
        read_chat(b'{"messages": []}', SimulatorSettings())


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("Come up with a set of 30 diverse questions.", 30),
        ("Generate 5 such questions. The questions should be 1 to 2 sentences long.", 5),
        ("Provide a single question and answer pair.", 1),
        ("Develop a series of question and answer pairs.", None),
        ("Ask me something.", 1),
        ("Write 100000 questions.", None),
    ],
)
def test_how_many_questions_are_asked_for(words: str, count: int | None) -> None:
    """A number, one, or some."""
    assert asked_count(words) == count


def test_scales_without_words_come_from_the_examples() -> None:
    """The highest score of the examples ends the scale; without any it is 0 to 1."""
    assert scale_of("Give a score.", (2, 0, 2)) == (0, 2)
    assert scale_of("Give a score.", ()) == (0, 1)
