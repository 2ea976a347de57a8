"""Keys of prompts: equal where prompts go on alike behind what all prompts of a block begin with."""

from __future__ import annotations

from sdg_stream.abc import CallShape, Request
from sdg_stream.teacher.prefix import KEY_CHARACTERS, LEARN_CALLS, PrefixKeys

SHAPE = CallShape.make("completions", {"model": "m", "temperature": 0, "max_tokens": 9})
RULES = "You are a strict but fair fact checker. Go by the context alone. " * 20


def document(number: int) -> str:
    """A document that is longer than what a key is made of, and differs from others from its start."""
    return f"Document {number} says: " + f"{number} " * KEY_CHARACTERS


def ask(text: str, depth: int = 0) -> Request:
    """A request of the block at ``depth``."""
    return Request(SHAPE, text, depth=depth)


def test_records_that_share_a_document_share_a_key() -> None:
    """Once two documents were seen, the key tells documents apart and nothing else."""
    keys = PrefixKeys()
    for number in (1, 2):
        keys.key(ask(RULES + document(number)))
    first = {keys.key(ask(f"{RULES}{document(1)} answer {answer}")) for answer in range(5)}
    second = {keys.key(ask(f"{RULES}{document(2)} answer {answer}")) for answer in range(5)}
    assert len(first) == len(second) == 1
    assert first != second


def test_a_few_common_words_do_not_move_the_keys() -> None:
    """Documents that begin alike by chance, and then one that does not: keys stay what they were."""
    keys = PrefixKeys()
    for number in (1, 2):
        keys.key(ask(RULES + document(number)))
    before = keys.key(ask(RULES + document(1)))
    keys.key(ask(RULES + "Quite another beginning. " * 100))
    assert keys.key(ask(RULES + document(1))) == before


def test_blocks_are_learnt_apart() -> None:
    """Another block's prompts, with the same parameters, do not shorten the common beginning."""
    keys = PrefixKeys()
    for number in (1, 2):
        keys.key(ask(RULES + document(number)))
    before = keys.key(ask(RULES + document(1)))
    keys.key(ask("Answer the question. " * 100, depth=1))
    assert keys.key(ask(RULES + document(1))) == before


def test_one_odd_prompt_is_forgotten() -> None:
    """A prompt without the common beginning hides it for a while and not for ever."""
    keys = PrefixKeys()
    keys.key(ask("odd"))
    one, other = ask(RULES + document(1)), ask(RULES + document(2))
    assert keys.key(one) == keys.key(other)  # both go on with the rules
    for _ in range(LEARN_CALLS):
        keys.key(one)
        keys.key(other)
    assert keys.key(one) != keys.key(other)


def test_messages_have_keys_too() -> None:
    """The contents of chat messages count as one text."""
    keys = PrefixKeys()

    def messages(number: int, question: str) -> Request:
        texts = [("system", RULES), ("user", f"{document(number)} {question}")]
        return Request(SHAPE, [{"role": role, "content": text} for role, text in texts])

    for number in (1, 2):
        keys.key(messages(number, "?"))
    assert keys.key(messages(1, "who?")) == keys.key(messages(1, "where?"))
    assert keys.key(messages(1, "who?")) != keys.key(messages(2, "who?"))


def test_text_that_is_not_unicode_has_a_key() -> None:
    """A lone surrogate, as broken input holds them, is not this module's problem."""
    assert PrefixKeys().key(ask("x\ud800y")) == PrefixKeys().key(ask("x\ud800y"))
