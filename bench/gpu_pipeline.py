"""A pipeline for any model, also one that talks nonsense: four stages whose parsing takes every reply.

Each stage reads the row's document, and what the stage before made of it. Its own words come first, so that a
server's prefix cache finds nothing of an earlier stage's prompt.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from sdg_stream.loadtest.synthetic import WORDS, TokenShape

__all__ = ["STAGES", "write_pipeline", "write_rows"]

STAGES = ("draft", "critique", "revision", "summary")
OWN_TOKENS = 30  # of a prompt, about
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


def write_pipeline(folder: Path, size: TokenShape) -> Path:
    """The pipeline's files; all stages make replies of the same size."""
    before = ""
    for stage in STAGES:
        prompt = PROMPT.format(stage=stage, before=f"{{{{{before}}}}}" if before else "Of this:")
        (folder / f"{stage}.yaml").write_text(prompt, encoding="utf-8")
        before = stage
    blocks = "".join(BLOCK.format(stage=stage, tokens=size.output) for stage in STAGES)
    file = folder / "pipeline.yaml"
    file.write_text(f'version: "1.0"\nblocks:\n{blocks}', encoding="utf-8")
    return file


def write_rows(file: Path, count: int, size: TokenShape) -> Path:
    """Documents that make the first stage's prompts about as long as was asked for, at a word a token."""
    draw, words = random.Random(7), WORDS.split()
    length = max(8, size.prompt - OWN_TOKENS)
    with file.open("w", encoding="utf-8") as lines:
        for number in range(count):
            text = " ".join(draw.choices(words, k=length))
            lines.write(json.dumps({"document": f"{number} {text}"}) + "\n")
    return file
