"""Runs upstream's postprocessing and mixing inside upstream's environment; started by ``record_mixing.py``.

Reads a JSON list of jobs (``id``, ``kind``, ``folder``, ``spec``) from standard input. What a job makes stays
in its folder; of one that fails, a JSON line tells ``id``, ``error`` and ``message``.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

from upstream_child import upstream_module

SUFFIX = "S"


def generate_data_module(data_dir: Path) -> Any:
    """Upstream's ``generate_data`` without what reads taxonomies: that imports much and is not used here."""
    taxonomy = types.ModuleType("instructlab.sdg.utils.taxonomy")
    taxonomy.__dict__.update(leaf_node_to_samples=None, read_taxonomy_leaf_nodes=None)
    folders = types.ModuleType("xdg_base_dirs")
    folders.__dict__.update(xdg_data_home=lambda: data_dir, xdg_data_dirs=list)
    sys.modules.update({"instructlab.sdg.utils.taxonomy": taxonomy, "xdg_base_dirs": folders})
    module = upstream_module("generate_data")
    module._locate_docling_models = lambda: None
    module.xdg_data_home = lambda: data_dir
    module.glob = types.SimpleNamespace(  # else in the order of the file system
        glob=lambda pattern: sorted(str(file) for file in Path(pattern).parent.glob(Path(pattern).name))
    )
    return module


def run(kind: str, folder: Path, spec: dict[str, Any]) -> None:
    """Run one job."""
    module = generate_data_module(folder / "data")
    out, prompt = folder / "out", spec.get("prompt", "")
    if kind == "run":
        (out / f"node_datasets_{SUFFIX}").mkdir(parents=True)
        module.postprocess_taxonomy(
            input_dir=str(folder / "generated"), output_dir=str(out), date_suffix=SUFFIX, num_procs=1,
            pipeline=str(folder / "pipeline"), system_prompt=prompt, use_legacy_pretraining_format=False,
        )  # fmt: skip
        for name in ("skills", "knowledge"):
            recipe, mixed = out / f"{name}_recipe_{SUFFIX}.yaml", out / f"{name}_train_msgs_{SUFFIX}.jsonl"
            module.mix_datasets(str(recipe), str(mixed), 1, prompt)
    elif kind == "mix":
        out.mkdir()
        module.mix_datasets(str(folder / "recipe.yaml"), str(out / "mixed.jsonl"), 1, spec.get("prompt"))
    elif kind == "test":
        out.mkdir()
        module._gen_test_data(spec["samples"], str(out / "test.jsonl"), spec.get("prompt"))
    else:
        benchmark(folder, spec)


def benchmark(folder: Path, spec: dict[str, Any]) -> None:
    """Have the rows pass for what the pipeline made, and the benchmark made of them."""
    import datasets  # type: ignore[import-not-found,unused-ignore]

    made = datasets.Dataset.from_list(spec["rows"])
    pipeline = types.SimpleNamespace(generate=lambda samples: made)
    (folder / "out" / f"node_datasets_{SUFFIX}").mkdir(parents=True)
    module = upstream_module("eval_data")
    module.generate_eval_task_data(pipeline, spec["task"], None, str(folder / "out"), SUFFIX)


def main() -> None:
    """Run the jobs on standard input, in order."""
    for job in json.load(sys.stdin):
        try:
            run(job["kind"], Path(job["folder"]), job["spec"])
        except Exception as problem:  # noqa: BLE001 -- whatever upstream raises is what is recorded
            message = str(problem).replace(job["folder"], "FOLDER")[:160]
            line = {"id": job["id"], "error": type(problem).__name__, "message": message}
            sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
