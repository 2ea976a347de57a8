"""sdg-hub: a flow of blocks over a DataFrame, one block after the other.

Settings: ``async_mode``, and ``max_concurrency`` above the slots (without a limit it asks for all rows at
once). Where a job is to be killed, ``save_freq`` (``options``) rows are taken through all blocks before the
next ones are begun, since a checkpoint is written only then: smaller ones lose less and idle more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]
from driving import Job, Stage, drive, variables
from sdg_hub import Flow, FlowMetadata  # type: ignore[import-not-found,unused-ignore]
from sdg_hub.core.blocks import (  # type: ignore[import-not-found,unused-ignore]
    ColumnValueFilterBlock,
    LLMChatBlock,
    LLMResponseExtractorBlock,
    PromptBuilderBlock,
    TagParserBlock,
)

MAX_TOKENS = 2048


def run(job: Job) -> None:
    """Do the job, or go on from its checkpoints."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [block for stage in job.stages for block in blocks_of(stage, folder)]
    flow = Flow(blocks=blocks, metadata=FlowMetadata(name="comparison", id="comparison"))
    flow.set_model_config(model=f"hosted_vllm/{job.model}", api_base=job.url, api_key="EMPTY")
    save_freq = job.options.get("save_freq")
    kept = {"checkpoint_dir": str(folder / "checkpoints"), "save_freq": save_freq} if save_freq else {}
    found = flow.generate(pd.DataFrame(list(job.rows())), max_concurrency=job.concurrency, **kept)
    columns = [name for name in found.columns if not str(name).startswith(("messages_", "reply_", "text_"))]
    found[columns].to_json(job.output, orient="records", lines=True)


def blocks_of(stage: Stage, folder: Path) -> list[Any]:
    """The blocks that make up a stage."""
    prompt = folder / f"{stage.name}.yaml"
    prompt.write_text(json.dumps([{"role": "user", "content": stage.template}]), encoding="utf-8")
    messages, reply, text = (f"{kind}_{stage.name}" for kind in ("messages", "reply", "text"))
    blocks = [
        PromptBuilderBlock(
            block_name=f"build_{stage.name}",
            input_cols=variables(stage.template),
            output_cols=messages,
            prompt_config_path=str(prompt),
        ),
        LLMChatBlock(
            block_name=f"ask_{stage.name}",
            input_cols=messages,
            output_cols=reply,
            async_mode=True,
            temperature=0,
            max_tokens=MAX_TOKENS,
        ),
        LLMResponseExtractorBlock(block_name=text, input_cols=reply, field_prefix=f"{text}_"),
        TagParserBlock(
            block_name=f"parse_{stage.name}",
            input_cols=f"{text}_content",
            output_cols=[tag.column for tag in stage.tags],
            start_tags=[tag.start for tag in stage.tags],
            end_tags=[tag.end for tag in stage.tags],
        ),
    ]
    if stage.keep is not None:
        column, least = stage.keep
        keep = ColumnValueFilterBlock(
            block_name=f"keep_{stage.name}",
            input_cols=[column],
            filter_value=least,
            operation="ge",
            convert_dtype="float",
        )
        blocks.append(keep)
    return blocks


if __name__ == "__main__":
    drive(run)
