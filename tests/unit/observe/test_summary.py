"""The account of a run as text."""

from __future__ import annotations

from sample_reports import ALL_FILTERED, ALL_REJECTED, EMPTY, GOOD, REJECT, STOPPED

from sdg_stream.events import BlockReport, Notice, RunReport
from sdg_stream.observe.summary import FirstRejects, advice, exhausted, funnel, summary


def test_summary_of_a_good_run() -> None:
    """Headline, roots that add up, rows, rejects, teacher, funnel and files, and no advice."""
    assert summary(GOOD).splitlines() == [
        "full/knowledge: finished after 0:42, 400 of 400 roots decided",
        "",
        "roots     400 = 380 accepted + 15 filtered + 5 rejected + 0 pending",
        "rows      812 accepted, 19.3 a second",
        "rejects   12, in 9 roots (2%)",
        "teacher   mixtral (completions)",
        "calls     1,204 in 1,210 attempts, 2 failed; busy 95% of 64 slots",
        "tokens    210,000 in, 98,000 out",
        "failures  8 RateLimited",
        "",
        "block    in  out  filtered  unparsed  rejected",
        "gen     400  900         ·         3  ·",
        "filter  900  812        76         ·  12 bad_value",
        "",
        "output    out.jsonl",
        "rejects   out.jsonl.run/rejects.jsonl",
    ]


def test_empty_input_is_said_loudly() -> None:
    """An empty input is no success to overlook."""
    assert "WARNING: the input holds no rows" in summary(EMPTY)


def test_all_filtered_names_the_block() -> None:
    """When nothing is accepted, the block that ended most records is named."""
    assert advice(ALL_FILTERED, {}) == [
        "No row was accepted.",
        "Most records were filtered at block judge (40 of 40): see what it compares with what.",
    ]


def test_all_rejected_shows_the_first_words() -> None:
    """When rejects are why nothing is accepted: the reason, and the first words of the server, cleaned."""
    first = FirstRejects()
    first(REJECT)
    assert advice(ALL_REJECTED, first) == [
        "No row was accepted.",
        "Most records were rejected at block gen: 40 times context_length.",
        "First context_length at gen, root 7: maximum context length is 4096 tokens",
    ]


def test_all_duplicates_names_the_block() -> None:
    """Duplicates can end everything too."""
    report = RunReport(
        pipeline="p",
        roots=5,
        filtered=5,
        blocks=(BlockReport(name="gen", type="LLMBlock", records_in=5, duplicates=5),),
    )
    assert any("duplicates at block gen" in line for line in advice(report, {}))


def test_replies_that_nothing_parses_are_named() -> None:
    """A block in whose replies nothing is found is named, with what to compare."""
    report = RunReport(
        pipeline="p",
        roots=5,
        filtered=5,
        blocks=(BlockReport(name="gen", type="LLMBlock", records_in=5, filtered=5, unparsed_replies=5),),
    )
    assert any("Block gen found nothing in 5 of its replies" in line for line in advice(report, {}))


def test_a_stopped_run_says_what_is_pending() -> None:
    """A stopped run says so, and that undecided roots are not in the output."""
    text = summary(STOPPED)
    assert "stopped (cancelled) after 0:01, 10 of 40 roots decided" in text
    assert "30 roots pending" in text


def test_few_rejects_need_no_examples() -> None:
    """Advice is for runs in which something is off."""
    first = FirstRejects()
    first(REJECT)
    assert advice(GOOD, first) == []


def test_first_rejects_keeps_one_of_a_kind() -> None:
    """The first reject of each block and reason is kept; other events are not looked at."""
    first = FirstRejects()
    first(Notice(code="x", message="y"))
    first(REJECT)
    first(type(REJECT)(root=8, path=(), stage="gen", reason="context_length", message="later"))
    assert [reject.root for reject in first.values()] == [7]


def test_first_rejects_are_bounded() -> None:
    """A block that makes up reasons does not fill the memory."""
    first = FirstRejects()
    for number in range(1000):
        first(type(REJECT)(root=0, path=(), stage="gen", reason=f"reason {number}", message=""))
    assert len(first) == 100


def test_funnel_shows_duplicates_only_where_there_are_some() -> None:
    """Columns that are empty everywhere are left out."""
    assert funnel(ALL_FILTERED.blocks)[0].split() == ["block", "in", "out", "filtered", "rejected"]


def test_names_are_cleaned() -> None:
    """A block's name cannot colour the terminal."""
    block = BlockReport(name="\x1b[31mred", type="x", records_in=1, records_out=1)
    assert "\x1b" not in "\n".join(funnel((block,)))


def test_exhausted_needs_enough_records() -> None:
    """A block counts as exhausted when it ended at least thirty records and let none through."""
    few = RunReport(pipeline="p", blocks=(BlockReport(name="b", type="t", records_in=29, filtered=29),))
    waiting = RunReport(pipeline="p", blocks=(BlockReport(name="barrier", type="t", records_in=100),))
    assert exhausted(few) == exhausted(waiting) == exhausted(GOOD) == []
    assert exhausted(ALL_FILTERED) == ["judge"]
