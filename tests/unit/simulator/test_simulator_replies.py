"""The simulated teacher's replies hold what the prompt asks for, and the same request gets the same reply."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import orjson
import pytest

from sdg_stream.prompts.families import chat_template, known_families
from sdg_stream.prompts.parsing import RegexParser, TagParser
from sdg_stream.simulator import SimulatorSettings
from sdg_stream.simulator.replies import Reply, request_key, service_seconds, write_replies
from sdg_stream.simulator.wire import read_chat, read_completion

DOCUMENT = """Honey bees live in large colonies. A colony has one queen and many thousand workers.
The workers collect nectar from flowers and turn it into honey. In winter the bees form a tight cluster around
the queen. A waggle dance tells the other workers where flowers can be found. Beekeepers move their hives to
orchards in spring, because apple trees need visits from bees. A hive can give twenty kilograms of honey
a year."""

JUDGE = """Decide whether the answer is supported by the context. Reply with YES or NO.
* Write your reasons between [Start of Explanation] and [End of Explanation] tags.
* Write the judgment between [Start of Judgment] and [End of Judgment] tags.

[Start of Context]
{document}
[End of Context]
[Start of Answer]
A colony has {count} queens.
[End of Answer]"""


def ask(prompt: str, settings: SimulatorSettings | None = None, **options: Any) -> list[Reply]:
    """The replies to one completions request."""
    settings = settings or SimulatorSettings()
    body = orjson.dumps({"prompt": prompt, "max_tokens": 4096, **options})
    asked = read_completion(body, settings)
    text = asked.prompts[0]
    return write_replies(settings, asked, text, request_key(settings, asked, text))


def rows(reply: Reply, *tags: str) -> list[dict[str, Any]]:
    """What a pipeline reads between [Start of X] and [End of X]."""
    starts, ends = [f"[Start of {tag}]" for tag in tags], [f"[End of {tag}]" for tag in tags]
    return TagParser(starts, ends, tags).parse(reply.text)


def judge(number: int) -> Reply:
    """One of many different judgements."""
    return ask(JUDGE.format(document=DOCUMENT, count=number))[0]


def test_judgements_are_mostly_good_and_each_has_its_reason() -> None:
    """Most of 200 judgements are YES, a steady minority NO, all with an explanation."""
    found = [rows(judge(number), "Explanation", "Judgment") for number in range(200)]
    assert all(len(parsed) == 1 and parsed[0]["Explanation"] for parsed in found)
    verdicts = Counter(parsed[0]["Judgment"] for parsed in found)
    assert set(verdicts) == {"YES", "NO"}
    assert 0.80 <= verdicts["YES"] / 200 <= 0.95


@pytest.mark.parametrize(
    ("words", "scores", "good"),
    [
        ("on a binary 0/1 scale", {0, 1}, {1}),
        ("on a scale of 0 or 1", {0, 1}, {1}),
        ("on a scale of 1 to 3", {1, 2, 3}, {2, 3}),
        ("on a 3-point scale", {1, 2, 3}, {2, 3}),
        ("as the sum of the points, with a maximum of 2 points", {0, 2}, {2}),
        ("from 1 to 5", {1, 2, 3, 4, 5}, {4, 5}),
    ],
)
def test_scores_keep_to_the_scale_that_is_asked_for(words: str, scores: set[int], good: set[int]) -> None:
    """Whatever the words for the scale, scores are on it, and most are good ones."""
    prompt = (
        f"Rate the question {words}.\n"
        "[Start of Question]\nWhy do bees dance, number {}?\n[End of Question]\n"
        "* Return the evaluation between [Start of Evaluation] and [End of Evaluation] tags.\n"
        "* Return the score between [Start of Score] and [End of Score] tags."
    )
    found = Counter(
        int(rows(ask(prompt.format(number))[0], "Evaluation", "Score")[0]["Score"]) for number in range(100)
    )
    assert set(found) <= scores
    assert sum(found[score] for score in good) >= 75
    assert sum(found[score] for score in scores - good) >= 3


def test_an_answer_can_be_a_verdict_or_an_answer() -> None:
    """With reasons and YES or NO an answer tag holds the verdict; with a question to answer it holds text."""
    verdict = (
        "Is the information supported by the context? Answer YES or NO.\n"
        "[Start of Explanation] and [End of Explanation] hold the explanation, "
        "[Start of Answer] and [End of Answer] hold the answer.\n"
        f"[Start of Context]\n{DOCUMENT}\n[End of Context]\n"
        "[Start of Response]\nBees dance.\n[End of Response]"
    )
    assert rows(ask(verdict)[0], "Explanation", "Answer")[0]["Answer"] in {"YES", "NO"}
    answer = (
        f"[Start of Context]\n{DOCUMENT}\n[End of Context]\n"
        "[Start of Question]\nWhat does a waggle dance tell the workers?\n[End of Question]\n"
        "Return the response between [Start of Response] and [End of Response] tags."
    )
    assert "waggle dance" in rows(ask(answer)[0], "Response")[0]["Response"]


def test_tags_are_found_by_placeholders_and_by_examples_too() -> None:
    """Without a sentence that names the tags, format placeholders decide, and without those the examples."""
    by_placeholder = (
        "Reply in this format\n[Start of Question]\n...\n[End of Question]\n"
        "[Start of Feedback]\n<your feedback>\n[End of Feedback]\n[Start of Score]\n...\n[End of Score]\n\n"
        "[Start of Question]\nWhy is honey sweet?\n[End of Question]"
    )
    assert len(rows(ask(by_placeholder)[0], "Feedback", "Score")) == 1
    by_example = (
        "[Start of Question]\nWhy?\n[End of Question]\n[Start of Rating]\n1\n[End of Rating]\n\n"
        "[Start of Question]\nHow do bees find flowers?\n[End of Question]"
    )
    assert rows(ask(by_example)[0], "Rating")[0]["Rating"] in {"0", "1"}


@pytest.mark.parametrize("wanted", [3, 10, 30])
def test_about_the_asked_number_of_different_questions(wanted: int) -> None:
    """Asked for N questions like the seed, the reply has about N, no two the same."""
    prompt = (
        f"Come up with {wanted} diverse questions - explain how bees live.\n"
        "Return each question between [Start of Question] and [End of Question] tags.\n"
        "[Start of Question]\nHow do honey bees survive the winter in a cold country?\n[End of Question]\n"
        f"Now generate {wanted} such questions between [Start of Question] and [End of Question] tags."
    )
    found = [row["Question"] for row in rows(ask(prompt)[0], "Question")]
    assert wanted * 0.8 <= len(found) <= wanted
    assert len(set(found)) == len(found)


def test_a_series_of_bare_tags() -> None:
    """A format of [QUESTION] [ANSWER] [END] gives two to five pairs whose answers come from the document."""
    prompt = (
        "Develop question and answer pairs in this format:\n"
        "[QUESTION]\n<question>\n[ANSWER]\n<answer>\n[END]\n\n"
        f"Here is the document:\n\n[DOCUMENT]\nBees\n{DOCUMENT}"
    )
    parser = RegexParser(
        r"\[QUESTION\]\s*(.*?)\s*\[ANSWER\]\s*(.*?)\s*(?=\[QUESTION\]|$)", ["question", "response"], ["[END]"]
    )
    found = parser.parse(ask(prompt)[0].text)
    assert 2 <= len(found) <= 5
    assert all(row["question"].endswith("?") for row in found)
    text = " ".join(DOCUMENT.split())
    assert all(row["response"].split(". ")[0].rstrip(". \n") in text for row in found)


def test_multiple_choice_questions() -> None:
    """Where the example has options, each question has four, and its answer is one of them."""
    prompt = (
        "Create multiple choice questions about the document. Put each question between "
        "[Start of Question] and [End of Question] and each answer between [Start of Answer] and "
        "[End of Answer].\n"
        "[Start of Question]\nWhat is hot?\n\nA) Ice\nB) Fire\nC) Snow\nD) Rain\n[End of Question]\n"
        "[Start of Answer]\nB) Fire\n[End of Answer]\n"
        "Put each question between [Start of Question] and [End of Question] and each answer between "
        f"[Start of Answer] and [End of Answer].\n[Start of Document]\n{DOCUMENT}\n[End of Document]"
    )
    found = rows(ask(prompt)[0], "Question", "Answer")
    assert len(found) >= 2
    for row in found:
        options = re.findall(r"^[A-D]\) .+$", row["Question"], re.MULTILINE)
        assert len(options) == 4
        assert row["Answer"] in options


@pytest.mark.parametrize(
    ("prompt", "check"),
    [
        ("Give me a copy without spelling errors.\n\nDocument:\n{}", lambda text: text == DOCUMENT),
        ("Break the passage into facts.\n[Passage]\n{}\n[Facts]", lambda text: text.startswith("1. ")),
        ("Write an extractive summary.\n\nDocument:\n{}", lambda text: text.split(". ")[0] in DOCUMENT),
        ("Summarize this text.\n\nText:\n{}", lambda text: text.startswith("The document is about")),
        (
            "Here is the document:\n\n{}\n\nProvide a single question and answer pair based on the document.",
            lambda text: text.count("?") == 1 and len(text.partition("?")[2]) > 10,
        ),
        ("Is it true that bees dance? Answer yes or no.", lambda text: text in {"yes", "no"}),
        ("Message: It broke.\nLabel: problem\n\nMessage: Thanks!\nLabel:", lambda text: text == "problem"),
        ("Article: {}\nHeadline:", lambda text: len(text.split()) < 12),
        ("Tell me something.", lambda text: text.endswith(".")),
        ("test1", lambda text: "test1" in text),
    ],
)
def test_plain_replies(prompt: str, check: Any) -> None:
    """Prompts without tags get plain text of the kind that their words ask for."""
    text = ask(prompt.format(DOCUMENT))[0].text
    assert check(text), text


def test_xml_tags_and_an_open_tag() -> None:
    """Tags like <answer> work as well, and a start tag that ends the prompt is gone on from."""
    marked = "Why do bees dance? Put the reply between <answer> and </answer> tags."
    assert TagParser(["<answer>"], ["</answer>"], ["answer"]).parse(ask(marked)[0].text)
    opened = "[Start of Question]\nWhy do bees dance?\n[End of Question]\n[Start of Answer]"
    text = ask(opened)[0].text
    assert text.endswith("[End of Answer]")
    assert not text.startswith("[")


def test_the_same_request_gets_the_same_reply_however_it_travels() -> None:
    """Chat template, list form and chat message change nothing; seed, index, server seed and prompt do."""
    settings = SimulatorSettings()
    plain = ask(JUDGE.format(document=DOCUMENT, count=2))[0].text
    messages = [{"role": "user", "content": JUDGE.format(document=DOCUMENT, count=2)}]
    for family in known_families():
        wrapped = chat_template(family)(messages).strip()
        assert ask(wrapped)[0].text == plain, family
    chat = read_chat(orjson.dumps({"messages": messages, "max_tokens": 4096}), settings)
    key = request_key(settings, chat, chat.prompts[0])
    assert write_replies(settings, chat, chat.prompts[0], key)[0].text == plain
    story = "Write a story about bees."
    different = {
        ask(story)[0].text,
        ask(story, n=2)[1].text,
        ask(story, seed=1)[0].text,
        ask(story, temperature=0.5)[0].text,
        ask(story, SimulatorSettings(seed=1))[0].text,
        ask("Write a story about ants.")[0].text,
    }
    assert len(different) == 6
    assert ask(story, n=2)[0] == ask(story)[0]


def test_replies_do_not_change_from_release_to_release_by_accident() -> None:
    """One reply as it has always been: no part of it depends on the process that makes it."""
    assert ask("Why do honey bees dance?", temperature=0)[0].text == EXPECTED


EXPECTED = (
    "Most people come across honey bees dance sooner or later. One thing to keep in mind is the relation of "
    "honey bees dance to its surroundings. Much of what is said about honey bees dance also holds for its "
    "surroundings."
)


def test_max_tokens_cuts_at_a_word_and_stop_texts_end_replies() -> None:
    """A cut reply ends in a whole word and says "length"; the first stop text ends it with "stop"."""
    whole = ask("Write a story about bees.")[0]
    cut = ask("Write a story about bees.", max_tokens=6)[0]
    assert whole.text.startswith(f"{cut.text} ")
    assert len(cut.text) <= 24
    assert (cut.finish_reason, cut.tokens, whole.finish_reason) == ("length", 6, "stop")
    word = whole.text.split()[3]
    stopped = ask("Write a story about bees.", stop=["never there", f" {word}"])[0]
    assert stopped.text == whole.text.partition(f" {word}")[0]
    assert (stopped.finish_reason, stopped.stop_reason) == ("stop", f" {word}")


def test_reply_lengths_are_long_tailed() -> None:
    """The longest of many answers is several times the median."""
    lengths = sorted(ask(f"What is the use of bee number {number}?")[0].tokens for number in range(300))
    assert lengths[-1] > 5 * lengths[150]


def test_a_fixed_reply_is_every_reply() -> None:
    """With ``reply`` set all choices are that text, cut as usual."""
    settings = SimulatorSettings(reply="One two three.")
    assert [reply.text for reply in ask("Anything", settings, n=3)] == ["One two three."] * 3
    assert ask("Anything", settings, max_tokens=2)[0].text == "One two"


@pytest.mark.parametrize(
    "options",
    [
        {"guided_choice": ["red", "green"]},
        {"structured_outputs": {"choice": ["red", "green"]}},
    ],
)
def test_guided_choices_are_obeyed(options: dict[str, Any]) -> None:
    """The reply is one of the choices, and over many prompts each of them."""
    found = {ask(f"Which colour has bee {number}?", **options)[0].text for number in range(30)}
    assert found == {"red", "green"}


SCHEMA = {
    "type": "object",
    "properties": {
        "question": {"type": "string"},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 2},
        "nested": {"$ref": "#/$defs/nested"},
        "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "short": {"type": "string", "maxLength": 5},
    },
    "$defs": {"nested": {"type": "object", "properties": {"ok": {"type": "boolean"}, "k": {"const": 7}}}},
}


@pytest.mark.parametrize(
    "options",
    [
        {"guided_json": SCHEMA},
        {"guided_json": orjson.dumps(SCHEMA).decode()},
        {"structured_outputs": {"json": SCHEMA}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
    ],
)
def test_json_schemas_are_obeyed(options: dict[str, Any]) -> None:
    """Each of the spellings of a JSON schema gives an instance of it."""
    found = orjson.loads(ask("Describe honey bees.", **options)[0].text)
    assert set(found) == set(SCHEMA["properties"])
    assert isinstance(found["question"], str)
    assert 1 <= found["score"] <= 5
    assert set(found["tags"]) <= {"a", "b"}
    assert len(found["tags"]) == 2
    assert found["nested"]["k"] == 7
    assert isinstance(found["nested"]["ok"], bool)
    assert found["maybe"] is None
    assert len(found["short"]) <= 5


def test_a_json_object_without_a_schema() -> None:
    """``json_object`` gets an object."""
    text = ask("Describe bees as JSON.", response_format={"type": "json_object"})[0].text
    assert isinstance(orjson.loads(text), dict)


def test_service_times_have_the_mean_and_are_the_same_every_time() -> None:
    """Lognormal times have the mean that was set, a long tail, and depend on nothing but key and index."""
    settings = SimulatorSettings(latency="lognormal", latency_seconds=0.2, latency_sigma=0.8)
    times = [service_seconds(settings, key, 0) for key in range(4000)]
    assert sum(times) / len(times) == pytest.approx(0.2, rel=0.06)
    assert max(times) > 1.0
    assert times[5] == service_seconds(settings, 5, 0) != service_seconds(settings, 5, 1)
    assert service_seconds(SimulatorSettings(latency="fixed"), 1, 0) == 0.2
    assert service_seconds(SimulatorSettings(), 1, 0) == 0.0
