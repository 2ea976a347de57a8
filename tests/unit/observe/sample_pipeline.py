"""The numbers of a pipeline's run to show."""

from __future__ import annotations

from sdg_stream.events import BlockReport
from sdg_stream.loadtest.levels import ClientShare, Level
from sdg_stream.loadtest.pipeline_results import (
    BlockTokens,
    Ceiling,
    DrainTail,
    Estimate,
    Idle,
    PipelineNumbers,
    Projection,
)

_LEVEL = Level(concurrency=8, requests_in_flight=8, seconds=15.0, completed=500, output_tokens_per_s=4000.0)

NUMBERS = PipelineNumbers(
    pipeline="full/knowledge",
    input="in.jsonl",
    concurrency=8,
    gpus=2,
    seconds=50.0,
    cut="",
    roots=100,
    accepted=80,
    filtered=15,
    rejected=5,
    pending=0,
    rows=160,
    rows_per_s=3.2,
    rows_per_gpu_hour=5760.0,
    tokens_per_row=5000.0,
    output_tokens_per_row=1200.0,
    prompt_tokens=608_000,
    output_tokens=192_000,
    output_tokens_per_s=3840.0,
    wasted=0.25,
    calls=900,
    attempts=900,
    failures={},
    saved_calls=100,
    saved_share=0.1,
    prefix_hits=0.6,
    prefix_saved_tokens=364_800.0,
    idle=Idle(fraction=0.07, drain_tail=0.05, no_ready_records=0.02),
    drain_tail=DrainTail(seconds=2.0, share=0.04, reply_p50=0.5, reply_p99=2.0),
    ceiling=Ceiling(
        plain=_LEVEL,
        steady_seconds=45.0,
        steady_output_tokens_per_s=3920.0,
        ratio=0.98,
        noise=0.0102,
        whole_ratio=0.96,
        kept_prompts=900,
        times=1.5,
    ),
    projection=Projection(
        input_rows=1000,
        rows=Estimate(value=1600, low=1500, high=1700),
        calls=Estimate(value=9000, low=8500, high=9500),
        prompt_tokens=Estimate(value=6_080_000),
        output_tokens=Estimate(value=1_920_000),
        hours=Estimate(value=0.14, low=0.13, high=0.15),
        sampled=100,
        method="mean",
    ),
    durability=None,
    funnel=(BlockReport(name="gen", type="LLMBlock", records_in=100, records_out=200),),
    tokens=(
        BlockTokens(name="gen", calls=100, prompt_tokens=80_000, output_tokens=20_000, wasted_tokens=20_000),
    ),
    client=ClientShare(cpu_share=0.1, cpu_per_1000=0.5),
    server=None,
    warnings=("odd",),
)
