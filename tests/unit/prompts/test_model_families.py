"""Model families: by name, by guess, and from installed packages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from sdg_stream.prompts import families


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral"),
        ("granite-7b-lab", "granite"),
        ("Llama-3.3", "llama"),
        ("/models/merlinite-7b-lab-Q4_K_M.gguf", "merlinite"),
        ("Mistral-7B", "mistral"),
    ],
)
def test_a_family_is_guessed_from_the_model(model: str, family: str) -> None:
    """The name that the last part of the path begins with, in lower case, is the family if it is one."""
    assert families.model_family(None, model) == (family, False)
    assert families.model_family("", model) == (family, False)


@pytest.mark.parametrize(
    "model", ["mistral_7b", "granite3", "mixtral8x7b", "Meta-Llama-3", "mixtral/", "-x", "", None]
)
def test_q_prompt_4_a_model_that_tells_nothing_gets_the_default(model: str | None) -> None:
    """Q-PROMPT-4: the default is kept, but the caller learns that it is one."""
    assert families.model_family(None, model) == ("merlinite", True)


def test_a_given_family_wins() -> None:
    """A given family is used whatever the model is called."""
    assert families.model_family("llama", "mixtral-8x7b") == ("llama", False)


def test_an_unknown_family_is_refused() -> None:
    """Families are case-sensitive; the message names the nearest one and all that are known."""
    with pytest.raises(ValueError, match="unknown model family 'Mixtral'; did you mean 'mixtral'") as caught:
        families.model_family("Mixtral", None)
    assert "known: blank, granite" in str(caught.value)
    with pytest.raises(ValueError, match=r"'zzz' \(known"):
        families.chat_template("zzz")


def shout(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    """A chat template that a package might publish."""
    return messages[0]["content"].upper()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two published families: one that works and one whose package is broken."""
    entries = [
        EntryPoint("shout", f"{__name__}:shout", families.GROUP),
        EntryPoint("broken", "no_such_module_at_all:render", families.GROUP),
    ]
    monkeypatch.setattr(families, "entry_points", lambda group: entries if group == families.GROUP else [])
    families._published.cache_clear()
    yield
    families._published.cache_clear()


@pytest.mark.usefixtures("installed")
def test_packages_publish_families() -> None:
    """An entry point adds a family, which then is known, guessed and loaded like any other."""
    assert {"shout", "broken"} < set(families.known_families())
    assert families.model_family(None, "Shout-7B") == ("shout", False)
    assert families.chat_template("shout")([{"role": "user", "content": "hi"}]) == "HI"


@pytest.mark.usefixtures("installed")
def test_a_broken_package_is_named() -> None:
    """A published family that cannot be loaded says what is wrong."""
    with pytest.raises(ValueError, match=r"'broken'.*no_such_module_at_all"):
        families.chat_template("broken")
