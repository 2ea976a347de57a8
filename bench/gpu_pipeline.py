"""A pipeline for any model, also one that talks nonsense: four stages whose parsing takes every reply.

Each stage reads the row's document and what the stage before made of it, so that all prompts are of about the
same size. A stage's own words come first: a server's prefix cache finds nothing of an earlier stage's prompt.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

import sdg_stream as sdg
from sdg_stream.abc import Api, Completion, Request
from sdg_stream.loadtest.results import Rates
from sdg_stream.loadtest.synthetic import WORDS, TokenShape
from sdg_stream.loadtest.window import Sample, rates

__all__ = ["STAGES", "PipelineRun", "run_pipeline"]

STAGES = ("draft", "critique", "revision", "summary")
EDGE = 0.1  # of the run at either end, which the steady rates leave out
PROMPT = """\
system: You are an author.
introduction: Write a {stage}.
principles: As long as you are let.
examples: ""
generation: |
  {before}
  {{{{document}}}}
start_tags: [""]
end_tags: [""]
"""
BLOCK = """\
  - name: {stage}
    type: LLMBlock
    config:
      config_path: {stage}.yaml
      output_cols: [{stage}]
      gen_kwargs: {{max_tokens: {tokens}, temperature: 1.0}}
"""


class PipelineRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run brought.

    Attributes:
        rows: that went in; ``accepted`` came out.
        calls: that were answered.
        concurrency: that was asked for.
        seconds: from the first call to the end of the last one.
        whole: rates over all of it, with the beginning and the last calls.
        steady: rates of the middle, without a tenth at either end.
        prompt_tokens_mean: of a call, as the server counts.
        output_tokens_mean: likewise.
    """

    rows: int
    accepted: int
    calls: int
    concurrency: int | Literal["auto"]
    seconds: float
    whole: Rates
    steady: Rates
    prompt_tokens_mean: float
    output_tokens_mean: float


class _Watched:
    """A teacher that notes when its calls were made, and what was asked."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.model: str = inner.model
        self.api: Api = inner.api
        self.samples: list[Sample] = []
        self.requests: list[Request] = []

    @property
    def slots(self) -> int:
        """The slots behind it."""
        return int(self.inner.slots)

    async def complete(self, request: Request) -> Completion:
        """Make a call and note it."""
        completion: Completion = await self.inner.complete(request)
        ended = time.monotonic()
        sample = Sample(
            ended - completion.seconds,
            ended,
            prompt_tokens=completion.prompt_tokens,
            output_tokens=completion.completion_tokens,
        )
        self.samples.append(sample)
        self.requests.append(request)
        return completion


async def run_pipeline(
    url: str,
    folder: Path,
    *,
    rows: int,
    size: TokenShape,
    concurrency: int | Literal["auto"],
    model: str | None,
    api_key: str | None,
) -> tuple[PipelineRun, Path, Api]:
    """Run so many rows through it, with journal and output in the folder.

    Returns:
        The account, the requests that were made as a JSONL file of prompts, and the API that was asked.
    """
    pipeline = sdg.Pipeline.load(_write(folder, size))
    async with sdg.connect(url, model=model, concurrency=concurrency, api_key=api_key) as client:
        teacher = _Watched(client)
        report = await pipeline.run(_rows(rows, size), folder / "out.jsonl", teacher)
    samples = teacher.samples
    begin, end = min(sample.sent for sample in samples), max(sample.ended for sample in samples)
    edge = EDGE * (end - begin)
    run = PipelineRun(
        rows=rows,
        accepted=report.rows,
        calls=len(samples),
        concurrency=concurrency,
        seconds=end - begin,
        whole=rates(samples, begin, end),
        steady=rates(samples, begin + edge, end - edge),
        prompt_tokens_mean=sum(sample.prompt_tokens for sample in samples) / len(samples),
        output_tokens_mean=sum(sample.output_tokens for sample in samples) / len(samples),
    )
    return run, _recorded(folder / "prompts.jsonl", teacher.requests), teacher.api


def _write(folder: Path, size: TokenShape) -> Path:
    """The pipeline's files."""
    before = ""
    for stage in STAGES:
        prompt = PROMPT.format(stage=stage, before=f"{{{{{before}}}}}" if before else "Of this:")
        (folder / f"{stage}.yaml").write_text(prompt, encoding="utf-8")
        before = stage
    blocks = "".join(BLOCK.format(stage=stage, tokens=size.output) for stage in STAGES)
    file = folder / "pipeline.yaml"
    file.write_text(f'version: "1.0"\nblocks:\n{blocks}', encoding="utf-8")
    return file


def _rows(count: int, size: TokenShape) -> Iterator[dict[str, str]]:
    """Documents that make the prompts about as long as was asked for, at a word a token."""
    draw, words = random.Random(7), WORDS.split()
    length = max(8, size.prompt - size.output - 30)
    for number in range(count):
        yield {"document": f"{number} {' '.join(draw.choices(words, k=length))}"}


def _recorded(file: Path, requests: Sequence[Request]) -> Path:
    encoder = msgspec.json.Encoder()
    with file.open("wb") as lines:
        for request in requests:
            key = "prompt" if isinstance(request.prompt, str) else "messages"
            row = {key: request.prompt, "max_tokens": request.shape.max_tokens}
            lines.write(encoder.encode(row) + b"\n")
    return file
