"""The chat templates, text by text."""

from __future__ import annotations

import pytest

from sdg_stream.prompts.families import FAMILIES, chat_template

USER = [{"role": "user", "content": "P"}]
TALK = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
]
LLAMA_DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"


def llama(role: str, text: str) -> str:
    """One turn of a Llama prompt."""
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("blank", "P"),
        ("merlinite", "<|user|>\nP\n<|assistant|>"),
        ("granite", "<|user|>\nP\n<|assistant|>"),
        ("mixtral", "<s> [INST] P [/INST]"),
        ("mistral", "<s> [INST] P [/INST]"),
        (
            "llama",
            "<|begin_of_text|>"
            + llama("system", LLAMA_DATES)
            + llama("user", "P")
            + "<|start_header_id|>assistant<|end_header_id|>",
        ),
    ],
)
def test_q_prompt_2_one_user_message(family: str, text: str) -> None:
    """Q-PROMPT-2: the exact texts, which have no newline after the assistant header."""
    assert chat_template(family)(USER) == text


@pytest.mark.parametrize(("family", "token"), [("mixtral", "<s>"), ("llama", "<|begin_of_text|>")])
def test_q_prompt_3_the_start_token_is_literal(family: str, token: str) -> None:
    """Q-PROMPT-3: the start token stands in the text, although servers may add their own."""
    assert chat_template(family)(USER).startswith(token)


def test_every_family_is_covered() -> None:
    """The list above has every built-in family."""
    assert sorted(FAMILIES) == ["blank", "granite", "llama", "merlinite", "mistral", "mixtral"]


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("blank", "S\none\ntwo\nthree"),
        (
            "merlinite",
            "<|system|>\nS\n<|user|>\none\n<|assistant|>\ntwo<|endoftext|>\n<|user|>\nthree\n<|assistant|>",
        ),
        ("mixtral", "<s> [INST] S\n\none [/INST] two</s> [INST] three [/INST]"),
        (
            "llama",
            "<|begin_of_text|>"
            + llama("system", LLAMA_DATES + "S")
            + llama("user", "one")
            + llama("assistant", "two")
            + llama("user", "three")
            + "<|start_header_id|>assistant<|end_header_id|>",
        ),
    ],
)
def test_a_conversation(family: str, text: str) -> None:
    """System, user and assistant turns, each family in its way."""
    assert chat_template(family)(TALK) == text


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("merlinite", "<|user|>\none\n<|assistant|>\ntwo<|endoftext|>"),
        ("mixtral", "<s> [INST] one [/INST] two</s>"),
        (
            "llama",
            "<|begin_of_text|>"
            + llama("system", LLAMA_DATES)
            + llama("user", "one")
            + llama("assistant", "two"),
        ),
    ],
)
def test_a_conversation_that_is_over(family: str, text: str) -> None:
    """Without a generation prompt the text ends with the last turn."""
    assert chat_template(family)(TALK[1:3], add_generation_prompt=False) == text


def test_merlinite_pretraining_and_unknown_roles() -> None:
    """Merlinite has a role for pretraining text, and leaves out turns of roles that it does not know."""
    render = chat_template("merlinite")
    messages = [{"role": "pretraining", "content": "text"}, {"role": "critic", "content": "bad"}]
    assert render(messages, add_generation_prompt=False) == "<|pretrain|>text<|endoftext|><|/pretrain|>"


@pytest.mark.parametrize(
    "roles",
    [["assistant"], ["user", "user"], ["user", "assistant", "system"], ["system", "assistant"], ["tool"]],
)
def test_mixtral_takes_turns(roles: list[str]) -> None:
    """Mixtral refuses conversations in which user and assistant do not take turns."""
    with pytest.raises(ValueError, match="take turns"):
        chat_template("mixtral")([{"role": role, "content": "x"} for role in roles])


def test_llama_knows_no_tools() -> None:
    """Llama's tool messages are refused instead of being sent as something else."""
    with pytest.raises(ValueError, match="tool messages"):
        chat_template("llama")([*USER, {"role": "tool", "content": "{}"}])
