"""NeMo Data Designer: columns that depend on each other, filled cell by cell.

Settings: ``max_parallel_requests`` at the slots (more made it slower, as it is bound by its own CPU), Jinja's
native renderer instead of the hardened one, one group of rows as large as the job (``buffer_size``), except
where it is to be killed, since it goes on from whole groups only; no health check, metrics or terminal panel.
A row cannot become several in a run, so that a chain is two runs: the questions, then the rest of it. Where
one attempt in ten is refused, ``admission`` makes its limit fall as little and rise as fast as it can: with
the defaults one refusal halts all calls for two seconds. The tokenizer of its closing statistics is a stub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import data_designer.config as dd  # type: ignore[import-not-found,unused-ignore]
import data_designer.lazy_heavy_imports as heavy  # type: ignore[import-not-found,unused-ignore]
import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]
from data_designer.config.run_config import (  # type: ignore[import-not-found,unused-ignore]
    JinjaRenderingEngine,
    ResumeMode,
    RunConfig,
)
from data_designer.interface import DataDesigner  # type: ignore[import-not-found,unused-ignore]
from driving import Job, Stage, drive

MAX_TOKENS = 2048
ALL = 1_000_000


def run(job: Job) -> None:
    """Do the job, or go on from its last whole group of rows."""
    rows: list[dict[str, Any]] = list(job.rows())
    groups: list[list[Stage]] = []
    for stage in job.stages:  # a run ends where rows become several
        if not groups or groups[-1][-1].many:
            groups.append([])
        groups[-1].append(stage)
    for number, group in enumerate(groups):
        rows = generated(job, group, rows, f"part_{number}")
    job.write(rows)


def generated(job: Job, stages: list[Stage], rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The rows of some stages, without those that were dropped or are not fit."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    provider = dd.ModelProvider(name="teacher", endpoint=job.url, provider_type="openai", api_key="EMPTY")
    designer = DataDesigner(artifact_path=folder, model_providers=[provider])
    designer.set_run_config(
        RunConfig(
            buffer_size=job.options.get("buffer_size", ALL),
            max_in_flight_tasks=4000,
            jinja_rendering_engine=JinjaRenderingEngine.NATIVE,
            otel_metrics_port=None,
            request_admission=job.options.get("admission"),
        )
    )
    # records start in the order of the seed
    builder = dd.DataDesignerConfigBuilder(model_configs=[model_of(job)])
    builder.with_seed_dataset(dd.DataFrameSeedSource(df=pd.DataFrame(rows)))
    add_columns(builder, stages)
    resume = ResumeMode.IF_POSSIBLE if "buffer_size" in job.options else ResumeMode.NEVER
    result = designer.create(builder, num_records=len(rows), dataset_name=name, resume=resume)
    return taken(result.load_dataset().to_dict("records"), stages)


def model_of(job: Job) -> Any:
    """The teacher."""
    parameters = dd.ChatCompletionInferenceParams(
        temperature=0.0, max_tokens=MAX_TOKENS, max_parallel_requests=job.concurrency
    )
    return dd.ModelConfig(
        alias="teacher",
        model=job.model,
        provider="teacher",
        inference_parameters=parameters,
        skip_health_check=True,
    )


def add_columns(builder: Any, stages: list[Stage]) -> None:
    """A column for the reply of each stage; rows that a judge drops are skipped from there on."""
    for place, stage in enumerate(stages):
        skip = None if place == 0 else skipped_unless(stages[place - 1])
        more = {} if skip is None else {"skip": skip}
        builder.add_column(
            dd.LLMTextColumnConfig(
                name=f"reply_{stage.name}", prompt=stage.template, model_alias="teacher", **more
            )
        )
        if not stage.many:
            add_parsed(builder, stage)


def add_parsed(builder: Any, stage: Stage) -> None:
    """The columns that later prompts, or conditions, need."""
    reply = f"reply_{stage.name}"
    for tag in stage.tags:
        text = f"{reply}.split('{tag.start}')[-1].split('{tag.end}')[0].strip()" if tag.start else reply
        builder.add_column(dd.ExpressionColumnConfig(name=tag.column, expr=f"{{{{ {text} }}}}"))


def skipped_unless(judge: Stage) -> Any:
    """The condition on which a row is not asked about any more."""
    if judge.keep is None:
        return None
    column, least = judge.keep
    return dd.SkipConfig(when=f"{{{{ {column} | float < {least} }}}}")


def taken(found: list[dict[str, Any]], stages: list[Stage]) -> list[dict[str, Any]]:
    """The records of replies, as the other tools have them."""
    rows = []
    for row in found:
        given = {name: value for name, value in row.items() if not name.startswith("reply_")}
        records: list[dict[str, Any]] = [given]
        for stage in stages:
            reply = row.get(f"reply_{stage.name}")
            new = stage.parse(reply) if isinstance(reply, str) else []
            records = [{**record, **one} for record in records for one in new]
        rows += records
    return rows


def byte_tokenizer(_name: str) -> Any:
    """Stands in for the tokenizer that its closing statistics would download; counts bytes."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    return heavy.tiktoken.Encoding("bytes", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={})


if __name__ == "__main__":
    heavy.tiktoken.get_encoding = byte_tokenizer
    for name in ("pd", "np", "pa", "pq", "httpx", "httpx_retries", "duckdb", "nx", "scipy", "jsonschema"):
        getattr(heavy, name)  # loaded before the clock runs, as with the others
    drive(run)
