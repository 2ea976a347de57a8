"""Accounts of runs to show."""

from __future__ import annotations

from msgspec.structs import replace

from sdg_stream.events import BlockReport, RecordRejected, RunReport, TeacherReport

TEACHER = TeacherReport(
    model="mixtral",
    api="completions",
    calls=1204,
    attempts=1210,
    failed_calls=2,
    failures={"RateLimited": 8},
    prompt_tokens=210_000,
    completion_tokens=98_000,
    in_flight=61,
    slots=64,
    busy_slot_seconds=64 * 40.0,
    open_slot_seconds=64 * 42.0,
)

GOOD = RunReport(
    pipeline="full/knowledge",
    roots=400,
    accepted=380,
    filtered=15,
    rejected=5,
    roots_with_rejects=9,
    rows=812,
    rejects=12,
    seconds=42.0,
    blocks=(
        BlockReport(name="gen", type="LLMBlock", records_in=400, records_out=900, unparsed_replies=3),
        BlockReport(
            name="filter",
            type="FilterByValueBlock",
            records_in=900,
            records_out=812,
            filtered=76,
            rejected={"bad_value": 12},
        ),
    ),
    teacher=TEACHER,
    input="in.jsonl",
    output="out.jsonl",
    rejects_file="out.jsonl.run/rejects.jsonl",
)

EMPTY = RunReport(pipeline="p", output="out.jsonl")

_FORTY = RunReport(pipeline="p", roots=40, seconds=1.0, output="out.jsonl")

ALL_FILTERED = replace(
    _FORTY,
    filtered=40,
    blocks=(BlockReport(name="judge", type="FilterByValueBlock", records_in=40, filtered=40),),
)

ALL_REJECTED = replace(
    _FORTY,
    rejected=40,
    rejects=40,
    roots_with_rejects=40,
    rejects_file="out.jsonl.run/rejects.jsonl",
    blocks=(BlockReport(name="gen", type="LLMBlock", records_in=40, rejected={"context_length": 40}),),
)

STOPPED = replace(_FORTY, accepted=10, pending=30, rows=10, stopped="cancelled")

REJECT = RecordRejected(
    root=7,
    path=(),
    stage="gen",
    reason="context_length",
    message="maximum context length is 4096 tokens\x1b[31m",
)
