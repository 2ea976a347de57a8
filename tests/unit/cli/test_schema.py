"""The JSON schema of pipeline files, as shipped and as derived."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml

from sdg_stream.catalog import list_pipelines, pipelines_dir
from sdg_stream.cli.schema import pipeline_schema

SHIPPED = json.loads((pipelines_dir() / "schema" / "v1.json").read_text(encoding="utf-8"))


def errors_of(document: Any) -> list[str]:
    """What the shipped schema says about a pipeline file's data."""
    return [error.message for error in jsonschema.Draft202012Validator(SHIPPED).iter_errors(document)]


def test_the_shipped_schema_is_the_derived_one() -> None:
    """It cannot lag behind the structs."""
    assert json.loads(json.dumps(pipeline_schema())) == SHIPPED
    jsonschema.Draft202012Validator.check_schema(SHIPPED)


@pytest.mark.parametrize("name", list_pipelines())
def test_shipped_pipelines_satisfy_it(name: str) -> None:
    """Editors have nothing to complain about."""
    text = (pipelines_dir() / f"{name}.yaml").read_text(encoding="utf-8")
    assert errors_of(yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"name": "a", "type": "LLMBlock", "config": {"config_path": "x"}}, "'output_cols' is a required"),
        ({"name": "a", "type": "IterBlock", "config": {"num_iters": 1}}, "'block_type' is a required"),
        ({"name": "a", "config": {}}, "'type' is a required property"),
        ({"name": "a", "type": "RenameColumnsBlock", "config": {"columns_mpa": {}}}, "columns_mpa"),
        ({"name": "a", "type": "T", "config": {}, "drop_column": []}, "drop_column"),
    ],
)
def test_mistakes_do_not_satisfy_it(block: dict[str, Any], words: str) -> None:
    """A block's config is held against its own type."""
    found = errors_of({"version": "1.0", "blocks": [block]})
    assert any(words in message for message in found), found


def test_a_block_of_ones_own_may_have_any_config() -> None:
    """Types that are not built in are not known to the schema."""
    block = {"name": "a", "type": "word_count:WordCount", "config": {"anything": 1}}
    assert errors_of({"version": "1.0", "blocks": [block]}) == []
