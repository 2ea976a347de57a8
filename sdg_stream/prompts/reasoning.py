"""Splits what a reasoning model thought from what it answers, where the server left both in the text.

Models write their thoughts between two marks, thoughts first. The chat templates of DeepSeek-R1 and QwQ
already hold the opening mark, so replies to them have only the closing one; a reply that was cut off while
thinking has only the opening one.
"""

from __future__ import annotations

__all__ = ["MARKS", "split_reasoning"]

MARKS = (
    ("<think>", "</think>"),  # DeepSeek-R1, QwQ, Qwen3 and most others
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("[THINK]", "[/THINK]"),  # Magistral, whose template leaves both marks to the model
)


def split_reasoning(text: str) -> tuple[str, str]:
    """The thoughts and the answer of a reply.

    Returns:
        ``("", text)``, the text untouched, for a reply that does not begin with thoughts. Else the thoughts
        without marks and white space around them, and the answer without white space before it. Thoughts
        that do not end leave no answer.
    """
    if "<" not in text and not text.lstrip().startswith("[THINK]"):  # nearly all replies, at nearly no cost
        return "", text
    for opening, closing in MARKS:
        end = text.find(closing)
        if end < 0:
            start = text.lstrip()
            if start.startswith(opening):
                return start[len(opening) :].strip(), ""
            continue
        before = text[:end].lstrip()
        if before.startswith(opening):
            before = before[len(opening) :]
        elif opening in before:
            continue  # the answer itself speaks of the marks
        return before.strip(), text[end + len(closing) :].lstrip()
    return "", text
