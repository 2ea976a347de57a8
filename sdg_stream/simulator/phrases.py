"""Turns of phrase of the simulated teacher: {t} and {u} are topics, {s} is a sentence of the prompt.

A topic may be one thing or many, so no verb depends on one.
"""

from __future__ import annotations

__all__ = [
    "ABOUT_PASSAGE",
    "ANSWERS",
    "BAD_REASONS",
    "CLOSERS",
    "GOOD_REASONS",
    "OPENERS",
    "QUESTIONS",
    "REMARKS",
    "TITLES",
]

ABOUT_PASSAGE = (
    "What does the passage say about {t}?",
    "What is worth knowing about {t}?",
    "Which facts are given about {t}?",
    "How can {t} be described in a few words?",
    "What can be learned about {t}?",
    "How would you explain {t} to a newcomer?",
    "What is the role of {t}?",
    "Which statement about {t} is correct?",
    "What should a student remember about {t}?",
    "Where does the passage mention {t}?",
    "What is said about {t}, and why is it of interest?",
    "What do we know about {t}?",
)

QUESTIONS = (
    "How would you explain {t} to a beginner?",
    "What are the most common misunderstandings about {t}?",
    "Can you give a practical example of {t}?",
    "Which steps should someone take to learn more about {t}?",
    "What would you say to a person who doubts the value of {t}?",
    "What connects {t} with {u}?",
    "Write a short paragraph that introduces {t} to a general audience.",
    "What are three questions that an expert on {t} is often asked?",
    "Describe {t} in the style of a friendly letter.",
    "What would change if {t} did not exist?",
    "Which mistakes do people make when they first deal with {t}?",
    "List the main points that a talk about {t} should cover.",
    "How has the way people think about {t} changed over the years?",
    "What is the best way to remember the key ideas behind {t}?",
    "Compare {t} with {u} and name one difference.",
    "Suggest a title for an article about {t} and say why it fits.",
    "What makes {t} interesting to somebody who has never heard of it?",
    "Summarize what is generally known about {t} in two sentences.",
    "How could a teacher use {t} in a lesson?",
    "What advice would you give to someone who works with {t}?",
    "Why do people disagree about {t}?",
    "Which everyday situation shows {t} at work?",
    "Turn a simple fact about {t} into a riddle.",
    "What is a good first question to ask about {t}?",
    "Explain the origin of {t} in plain words.",
    "Which words should be defined before a discussion of {t}?",
)

ANSWERS = (
    "In short, the easiest way to understand {t} is a simple example.",
    "The key point about {t} is the purpose, and the details follow from that.",
    "There is more than one good answer, but most of them begin with {t}.",
    "Put plainly, a great deal depends on {t}.",
    "A fair answer starts with what is known about {t}.",
    "It helps to look at {t} step by step.",
    "The short answer is to take a closer look at {t}.",
    "Most people come across {t} sooner or later.",
)

REMARKS = (
    "One thing to keep in mind is the relation of {t} to {u}.",
    "This becomes clearer in a comparison of {t} with {u}.",
    "A common mistake is to confuse {t} with {u}.",
    "For a first impression it is enough to know the place of {t}.",
    "In practice, one rarely meets {t} without {u}.",
    "Those who want to go further should look at {u} next.",
    "The details differ from case to case, yet the idea of {t} stays the same.",
    "Much of what is said about {t} also holds for {u}.",
    "A careful reader will not overlook {u} either.",
    "None of this requires special knowledge of {u}.",
    "It is worth checking each claim about {t} against a second source.",
    "Over time, people have come to see {t} in a different light.",
    "That is why {t} and {u} are often named together.",
    "The same question could be asked about {u}.",
    "As a rule of thumb, begin with {t} and leave {u} for later.",
    "Anyone can test this with a small example of {t}.",
)

OPENERS = (
    "This note is about {t}.",
    "Here is some background on {t}.",
    "Consider {t} for a moment.",
    "A local newsletter recently wrote about {t}.",
    "The following was noted by a visitor who asked about {t}.",
    "From a lecture on {t}:",
    "A short report on {t} begins like this.",
    "People often ask about {t}.",
    "In a conversation about {t}, the following came up.",
    "An old guide describes {t} as follows.",
)

CLOSERS = (
    "So much for {t}.",
    "This is what makes {t} worth a second look.",
    "More could be said about {t}, but these are the main points.",
    "Readers who know {u} will find this familiar.",
    "The rest is a matter of taste.",
    "Questions about {u} are answered elsewhere.",
    "That is the state of affairs with {t} today.",
    "Nothing in this depends on {u}.",
)

TITLES = (
    "A closer look at {t}",
    "What {t} can teach us",
    "New questions about {t}",
    "From {t} to {u}",
    "A short history of {t}",
    "The case for {t}",
)

GOOD_REASONS: dict[str, tuple[str, ...]] = {
    "grounded": (
        'The context supports this: it says "{s}"',
        'This agrees with the context, which states "{s}"',
        'The statement can be traced to the context, in particular to "{s}"',
    ),
    "answer": (
        "The answer is on topic: it deals with {t} and addresses what was asked.",
        "The response speaks directly to {t} and is easy to follow.",
        "The answer is relevant, correct in tone, and covers {t} as requested.",
    ),
    "question": (
        "The question is clear, stands on its own, and asks about {t}.",
        "The question is well formed and respectful, and it keeps to {t}.",
        "This is a self-contained question about {t} that can be answered in text.",
    ),
}

BAD_REASONS: dict[str, tuple[str, ...]] = {
    "grounded": (
        "The context does not say enough about {t} to support this.",
        "Nothing in the context backs what is claimed about {t}.",
    ),
    "answer": (
        "The answer mentions {t} but misses what was asked.",
        "The response stays vague about {t} and leaves the question open.",
    ),
    "question": (
        "The question cannot be understood without the text that mentions {t}.",
        "The question about {t} is too vague to be answered well.",
    ),
}
