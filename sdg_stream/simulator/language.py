"""Sentences and topics of a text, found with a word list: enough English for readable simulated replies.

Texts come again and again, a document with each question about it, so what was found is kept for a while.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["best_match", "sentences", "topics"]

_SPLIT = re.compile(r"(?<=[.!?])[\"')\]]?\s+(?=[\"'(]?[A-Z0-9])|\n+")
_WRAPPED = re.compile(
    r"\n(?:(?<=[\w,;]\n)(?=[a-z])|(?<=[^\n]{60}\n)(?<![.!?:]\n)(?=\w))"
)  # inside a sentence
_LIST_MARK = re.compile(r"^(?:[#>*+\-\s]+|\d{1,3}[.)]\s+)")
_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*|\d[\d.,]*%?")
_SENTENCE_END = re.compile(r"[.!?]\s|\n")
_CLAUSE_END = re.compile(r"[.,;:!?()\[\]\"“”|]")
_MOST_TOPIC_WORDS = 3
_MOST_TOPICS = 24
_ARTICLES = frozenset(("a", "an", "the"))
_PREPOSITIONS = frozenset(
    ("about", "at", "by", "for", "from", "in", "into", "near", "of", "on", "to", "with")
)

_STOP_WORDS = """
a about above according accurate across act actually additionally after again against ago ai all allow
allowed allows almost along already also although always am among an and another any anyone anything apart
are around as ask asked assistant at away back be became because become becomes been before began begin
begins behind being below besides best better between beyond big both bring brings brought but by called
came can cannot carries carry cause causes change changes come comes complete consider contain contains cost
costs could cover covers create define describe despite did differ different differs do document does doing
done down due during each eight either else enough especially etc even eventually ever every everyone
example explain extra face faces fall falls far feel feels fell few finally find finds first five flies fly
follow following for form formed forms found four from further gave generate get gets getting give given
gives go goes going good got great grew grow grown grows guideline guidelines had half happen happened
happens has have having he hear heard held help helps hence her here hers herself high higher him himself
his hold holds how however i if in include includes including indeed inside instead instruction instructions
into is it its itself just keep keeps kept know knowledgeable known knows large larger largest last later
lead leads learn learns least leave leaves led left less lesser let like likely list little live lives look
lose loses lost low lower made main mainly make makes making many may maybe me mean means meant meanwhile
meet meets mentioned met might mine more moreover most move moves much must my myself name near nearly need
needs neither never new next nine no none nor not note nothing now occur occurs of off offer offers often
old on once one only onto open opens or other others otherwise our ours out over own part particular passage
pay pays per percent perhaps pick picked play plays please possible prepare prevent prevents principle
principles produce produces protect protects provide provides put quick quickly quite rather reach reaches
really reduce reduces regular remain remains require requirement requirements requires rest rests return
rise rises run runs said same save saves say says second see seem seems seen sell send sends sentence serve
serves set sets seven several shall she should show shows since sit sits six sleep small smaller so some
someone something soon speak special spend spends spread stand stands start starts stay stays still stop
stops store stores such suggested summarize support supports take takes task tasks tell ten tend tends text
than that the their theirs them themselves then there therefore these they thing things third this those
though three through thus to together too took toward towards travel travels true try turn turns two under
understand unless until up upon us use used user users uses using usual usually various very via wait walk
want was way ways we wear well went were what when where whether which while who whole whom whose why widely
will win wins with within without won work works would write writes written wrote yes yet you your yours
yourself
"""
_STOP = frozenset(_STOP_WORDS.split())


@lru_cache(maxsize=1024)
def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text in their order; list marks are taken off, headings and tags left out."""
    pieces = [_LIST_MARK.sub("", piece).strip() for piece in _SPLIT.split(_WRAPPED.sub(" ", text))]
    whole = [p for p in pieces if p[-1:] in ".!?" and 20 <= len(p) <= 400 and not _tagged(p)]
    if whole:
        return tuple(whole)
    return tuple(f"{p.rstrip(' .,:;')}." for p in pieces if len(p.split()) >= 4 and not _tagged(p))


@lru_cache(maxsize=8192)
def topics(text: str) -> tuple[str, ...]:
    """What a text is about: its runs of meaningful words, those that look most like names or things first."""
    found: dict[str, int] = {}
    for sentence in _SENTENCE_END.split(text):
        for place, clause in enumerate(_CLAUSE_END.split(sentence)):
            _collect(clause, found, opens=place == 0)
        if len(found) >= _MOST_TOPICS:
            break
    return tuple(sorted(found, key=lambda topic: (-found[topic], topic)))


def best_match(question: str, candidates: Sequence[str]) -> str | None:
    """The candidate that shares most meaningful words with the question; None if there is no candidate."""
    wanted = _meaningful(question)
    return max(candidates, key=lambda text: len(wanted & _meaningful(text)), default=None)


def _tagged(text: str) -> bool:
    return text.startswith(("[", "<")) or "[Start of" in text or "[End" in text


@lru_cache(maxsize=8192)
def _meaningful(text: str) -> frozenset[str]:
    return frozenset(word for word in map(str.lower, _WORD.findall(text)) if word not in _STOP)


def _collect(clause: str, found: dict[str, int], *, opens: bool) -> None:
    """Add the runs of meaningful words of a clause, with a weight each.

    There is no grammar here, only hints: what follows an article or a preposition is most likely a thing, and
    so is what has capitals inside a sentence; an article belongs to its topic. ``opens``: the clause opens a
    sentence, where a capital says nothing.
    """
    run: list[str] = []
    before = ""
    words = _WORD.findall(clause)
    for place, word in enumerate([*words, "the"]):
        lowered = word.lower()
        if lowered in _STOP or word[0].isdigit() or (len(word) > 4 and lowered.endswith(("ed", "ly"))):
            if run:
                _add(run[:_MOST_TOPIC_WORDS], before, found)
                run = []
            before = lowered
        else:
            starts = opens and place == 0 and word[1:].islower()
            run.append(lowered if starts else word)


def _add(run: list[str], before: str, found: dict[str, int]) -> None:
    topic = " ".join(run)
    weight = min(len(topic), 20) + (10 if any(not word.islower() for word in run) else 0)
    if before in _ARTICLES:
        topic = f"{before} {topic}"
        weight += 12
    elif before in _PREPOSITIONS:
        weight += 8
    if len(topic) > 2:
        found.setdefault(topic, weight)
