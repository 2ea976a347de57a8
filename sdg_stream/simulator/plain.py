"""Reads prompts that ask for plain text.

* A prompt that ends in a label ("Headline:") asks for what comes after it. Where the examples put single
  words there, the reply is one of them, or of the letters that the instructions offer ("A or B");
  otherwise the label's name says what to write. The labelled text before it is the input.
* Otherwise the words of the instructions say what to write (``_WORDS``), or else their last question is to
  be answered. The document is what follows the last heading such as "Document:" or "Here is the document:",
  without orders after it.
"""

from __future__ import annotations

import re

from .tags import Kind, Pairs, Tag, kind_of
from .task import Task, verdict_words, without_orders

__all__ = ["find_document", "read_plain"]

_HEADING = re.compile(
    r"^(?:here|the|this|below|given|read|document|passage|context|text|article|snippet)\b[^\n:]{0,80}:[ \t]*$"
    r"|^(?:document|passage|context|text|article|snippet):[ \t]*",
    re.MULTILINE | re.IGNORECASE,
)
_NEXT_PART = re.compile(r"^(?:here (?:is|are)|now)\b", re.MULTILINE | re.IGNORECASE)
_SENTENCE = re.compile(r"[^.?!:\n]+[.?!:\n]?")
_WORDS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"spell|typo|proofread|correct(?:ed)? (?:the )?grammar"), "copy"),
    (re.compile(r"question[ -]and[ -]answer|question-answer|q&a"), "pair"),
    (re.compile(r"\bfacts\b|\bbullet"), "facts"),
    (re.compile(r"\bextractive|\bverbatim"), "extract"),
    (re.compile(r"summar|synopsis|\bdigest"), "summary"),
)
_LABEL = re.compile(r"(?:^|\n)[ \t]*([A-Z][\w ]{0,40}):$")
_LABELLED = re.compile(r"^[ \t]*([A-Z][\w ]{0,40}):[ \t]*(\S.*)$", re.MULTILINE)
_LETTERS = re.compile(r"\b([A-Z]) or ([A-Z])\b")


def read_plain(prompt: str, pairs: Pairs) -> Task:
    """Read a prompt in which no tag is wanted."""
    label = _LABEL.search(prompt)
    if label is not None:
        return _labelled_task(prompt, label[1])
    document, instructions = find_document(prompt)
    if not document and pairs.filled:
        document = max((block.text for block in pairs.filled), key=len)
        instructions = pairs.instructions
    words = instructions.lower()
    kind = next((kind for pattern, kind in _WORDS if pattern.search(words)), None)
    question = ""
    if kind is None:
        question = next((s.strip() for s in reversed(_SENTENCE.findall(instructions)) if s[-1] == "?"), "")
        kind = "verdict" if verdict_words(instructions) else "answer" if question else "text"
    return Task((Tag("", "", kind),), instructions, document, question)


def find_document(prompt: str) -> tuple[str, str]:
    """The text under the last heading, "" if there is none, and the prompt without it."""
    headings = list(_HEADING.finditer(prompt))
    if not headings:
        return "", prompt
    begin = headings[-1].end()
    following = _NEXT_PART.search(prompt, begin)
    end = following.start() if following else len(prompt)
    document = without_orders(prompt[begin:end])
    return document, prompt[:begin] + prompt[begin:].replace(document, "", 1)


def _labelled_task(prompt: str, label: str) -> Task:
    lines = [(match[1], match[2].strip()) for match in _LABELLED.finditer(prompt)]
    examples = tuple(dict.fromkeys(text for name, text in lines if name == label))
    options = examples if examples and all(len(text.split()) == 1 for text in examples) else ()
    offered = _LETTERS.search(prompt)
    if options and offered:
        options = tuple(sorted({*options, offered[1], offered[2]}))
    inputs = {kind_of(name): text for name, text in lines if name != label}
    texts = [text for name, text in lines if name != label]
    question = inputs.get("question", "")
    document = inputs.get("passage", "") or ("" if question or not texts else texts[-1])
    tag = Tag("", "", kind_of(label))
    given = frozenset(inputs)
    return Task((tag,), prompt, document, question, inputs.get("answer", ""), given, options=options)
