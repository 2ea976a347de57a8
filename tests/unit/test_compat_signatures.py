"""The functions of upstream's names: arguments, order and defaults, as its release 0.8.3 has them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest

import sdg_stream as sdg
from sdg_stream.generation.report import SYSTEM_PROMPT

NEEDED = inspect.Parameter.empty
LOGGER = logging.getLogger("sdg_stream")  # upstream: that of its module

GENERATE_DATA = {
    "client": NEEDED, "logger": LOGGER, "system_prompt": None, "use_legacy_pretraining_format": True,
    "model_family": None, "model_name": None, "num_cpus": None, "num_instructions_to_generate": 30,
    "taxonomy": None, "taxonomy_base": None, "output_dir": None, "console_output": True, "yaml_rules": None,
    "chunk_word_count": None, "server_ctx_size": None, "pipeline": "simple", "batch_size": None,
    "checkpoint_dir": None, "max_num_tokens": 4096,
}  # fmt: skip
PREPROCESS = {
    "taxonomy_dir": NEEDED, "output_dir": NEEDED, "chunk_word_count": 1000, "server_ctx_size": 4096,
    "taxonomy_base": "empty", "teacher_model_path": None, "yaml_rules": None, "test_output_file": None,
    "system_prompt": None,
}  # fmt: skip
GENERATE_TAXONOMY = {
    "client": NEEDED, "input_dir": NEEDED, "output_dir": NEEDED, "logger": LOGGER, "model_family": None,
    "model_id": None, "num_cpus": None, "num_instructions_to_generate": 30, "console_output": True,
    "pipeline": "simple", "batch_size": None, "checkpoint_dir": None, "max_num_tokens": 4096,
}  # fmt: skip
GENERATE_EVAL = {
    "client": NEEDED, "input_dir": NEEDED, "output_dir": NEEDED, "date_suffix": NEEDED, "model_family": None,
    "model_id": None, "num_cpus": None, "num_instructions_to_generate": 30, "batch_size": None,
    "max_num_tokens": 4096,
}  # fmt: skip
POSTPROCESS = {
    "input_dir": NEEDED, "output_dir": NEEDED, "date_suffix": NEEDED, "pipeline": "simple", "num_procs": 8,
    "system_prompt": SYSTEM_PROMPT,  # upstream: one that names a vendor's model
    "use_legacy_pretraining_format": True,
}  # fmt: skip
MIX = {"recipe_file": NEEDED, "output_file": NEEDED, "num_proc": 8, "system_prompt": None}


@pytest.mark.parametrize(
    ("function", "expected", "own"),
    [
        (sdg.generate_data, GENERATE_DATA, {"allow_local_repos": False}),
        (sdg.preprocess_taxonomy, PREPROCESS, {"allow_local_repos": False}),
        (sdg.generate_taxonomy, GENERATE_TAXONOMY, {}),
        (sdg.generate_taxonomy_eval, GENERATE_EVAL, {}),
        (sdg.postprocess_taxonomy, POSTPROCESS, {}),
        (sdg.mix_datasets, MIX, {}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_arguments_are_upstreams(
    function: Callable[..., Any], expected: dict[str, Any], own: dict[str, Any]
) -> None:
    """Positions, names and defaults; what is our own can be given by keyword only."""
    parameters = inspect.signature(function).parameters.values()
    keyword_only = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}
    positional = [(one.name, one.default) for one in parameters if one.name not in keyword_only]
    assert positional == list(expected.items())
    assert {one.name: one.default for one in parameters if one.name in keyword_only} == own


def test_the_exception_is_in_the_tree() -> None:
    """Who catches the package's errors catches it, and has its exit code."""
    assert issubclass(sdg.GenerateException, sdg.SdgStreamError)
    assert sdg.GenerateException("x").exit_code == 1
