"""A job's stages as pipeline and prompt files: InstructLab's library and sdg_stream read the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from driving import Job, Stage

MAX_TOKENS = 2048


def write_pipeline(job: Job) -> Path:
    """The pipeline file of a job's stages, written into its folder. JSON is YAML, too."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    blocks: list[dict[str, Any]] = []
    for stage in job.stages:
        (folder / f"{stage.name}.yaml").write_text(json.dumps(prompt_file(stage)), encoding="utf-8")
        blocks.append(
            {
                "name": stage.name,
                "type": "LLMBlock",
                "config": {
                    "config_path": str(folder / f"{stage.name}.yaml"),
                    "output_cols": [tag.column for tag in stage.tags],
                    "gen_kwargs": {"max_tokens": MAX_TOKENS, "temperature": 0},
                },
            }
        )
        if stage.keep is not None:
            column, least = stage.keep
            config = {
                "filter_column": column,
                "filter_value": least,
                "operation": "ge",
                "convert_dtype": "float",
            }
            blocks.append({"name": f"keep_{stage.name}", "type": "FilterByValueBlock", "config": config})
    file = folder / "pipeline.yaml"
    file.write_text(json.dumps({"version": "1.0", "blocks": blocks}), encoding="utf-8")
    return file


def prompt_file(stage: Stage) -> dict[str, Any]:
    """A prompt whose text is the stage's template."""
    return {
        "system": "",
        "introduction": stage.template,
        "principles": "",
        "examples": "",
        "generation": "",
        "start_tags": [tag.start for tag in stage.tags],
        "end_tags": [tag.end for tag in stage.tags],
    }
