"""gen_kwargs: what may stand there, and what is sent of it."""

from __future__ import annotations

from typing import Any

import pytest

from sdg_stream.abc import CallShape, Context
from sdg_stream.blocks.gen_kwargs import request_params
from sdg_stream.blocks.llm_block import LLMBlock, LLMConfig
from sdg_stream.config.yaml import parse_yaml
from sdg_stream.errors import Problem

HINT = "anything else that the server takes goes under extra_body"


def decoded(gen_kwargs: str) -> tuple[LLMConfig | None, list[str]]:
    """A config with these gen_kwargs, written as YAML, and the mistakes in it."""
    document = parse_yaml(f"config_path: x\noutput_cols: [a]\ngen_kwargs: {gen_kwargs}", "p.yaml")
    problems: list[Problem] = []
    config = LLMBlock.decode(document, "$", document.data, problems, Context("ask"))
    assert config is None or isinstance(config, LLMConfig)
    return config, [str(problem) for problem in problems]


def params(gen_kwargs: str) -> dict[str, Any]:
    """What is sent for these gen_kwargs."""
    config, problems = decoded(gen_kwargs)
    assert config is not None, problems
    return request_params(config.gen_kwargs, "m", Context("ask"))


def test_parameters_are_sent_in_a_fixed_order() -> None:
    """Model, temperature and max_tokens come first, then n, then the others, then extra_body."""
    sent = params("{extra_body: {zeta: 1, top_k: 2}, seed: 7, n: 2, stop: [.], top_p: 0.9, top_k: 5}")
    assert sent == {
        "model": "m", "temperature": 0.0, "max_tokens": 4096, "n": 2, "seed": 7, "stop": ["."], "top_p": 0.9,
        "top_k": 2, "zeta": 1,
    }  # fmt: skip
    assert list(sent)[:4] == ["model", "temperature", "max_tokens", "n"]
    assert list(sent)[-1] == "zeta"


def test_numbers_may_be_text() -> None:
    """Numeric text is read as a number, and what is not given or null is not sent."""
    assert params("{temperature: '0.25', max_tokens: '512', n: '1', seed: null}") == {
        "model": "m",
        "temperature": 0.25,
        "max_tokens": 512,
    }


@pytest.mark.parametrize("nothing", ["null", "{}", ""])
def test_a_null_mapping_is_an_empty_one(nothing: str) -> None:
    """An empty ``gen_kwargs:`` means the defaults."""
    assert params(nothing) == {"model": "m", "temperature": 0.0, "max_tokens": 4096}


def test_all_kinds_of_values_are_sent() -> None:
    """Mappings, lists and flags go as they are; token numbers in logit_bias become text."""
    sent = params("{logit_bias: {50256: -100, '7': 1}, logprobs: true, response_format: {type: json_object}}")
    assert sent["logit_bias"] == {"50256": -100.0, "7": 1.0}
    assert sent["logprobs"] is True
    assert sent["response_format"] == {"type": "json_object"}
    assert params("{logprobs: 3}")["logprobs"] == 3
    assert CallShape.make("completions", sent).head.endswith(b'"prompt":')


@pytest.mark.parametrize(
    ("gen_kwargs", "message"),
    [
        ("{n: three}", 'p.yaml:3: $.gen_kwargs.n: expected a whole number from 1, or "scaled", got "three"'),
        ("{n: 0}", 'p.yaml:3: $.gen_kwargs.n: expected a whole number from 1, or "scaled", got 0'),
        ("{n: null}", 'p.yaml:3: $.gen_kwargs.n: expected a whole number from 1, or "scaled", got null'),
        ("{temperature: warm}", 'p.yaml:3: $.gen_kwargs.temperature: expected float, got "warm"'),
        ("{temperature: null}", "p.yaml:3: $.gen_kwargs.temperature: expected float, got null"),
        (
            "{topk: 5}",
            f"p.yaml:3: $.gen_kwargs.topk: unknown key 'topk'; did you mean 'top_k'; {HINT}",
        ),
        (
            "{zzz: 5}",
            f"p.yaml:3: $.gen_kwargs.zzz: unknown key 'zzz'; {HINT}",
        ),
        ("{extra_body: {n: 3}}", "p.yaml:3: $.gen_kwargs: extra_body cannot hold 'n'; the block decides it"),
        (
            "{extra_body: {stream: true}}",
            "p.yaml:3: $.gen_kwargs: extra_body cannot hold 'stream'; the block decides it",
        ),
        ("7", "p.yaml:3: $.gen_kwargs: expected a mapping, got 7"),
    ],
)
def test_mistakes_have_a_place_and_a_hint(gen_kwargs: str, message: str) -> None:
    """Every mistake is found while reading, with its line and what would be right."""
    assert decoded(gen_kwargs) == (None, [message])


def test_all_mistakes_are_listed() -> None:
    """Several mistakes come together."""
    assert len(decoded("{n: x, temperature: y, topk: 1}")[1]) == 3
