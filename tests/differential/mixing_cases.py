"""The cases of mixing: reading them, laying out their files, and making what is random comparable.

``mixing/cases.yaml`` has ``cases`` (name -> case). In texts ``FOLDER`` is the folder that a case runs in. A
case has ``shows`` (one line: what it is there for), ``kind``, and what its kind needs:

``run``    ``generated`` (file -> rows), ``instructions`` (auxiliary ones), ``data`` (file -> YAML content or
           rows, in the data directory), ``prompt``: everything from generated rows to mixed files
``mix``    ``files`` (file -> rows, or text), ``datasets`` and ``sys_prompt`` (of the recipe), ``prompt``
``mmlu``   ``rows`` (of the benchmark pipeline), ``task``
``test``   ``samples`` (of leaf nodes), ``prompt``

``expect`` is ``same`` (default), or ``differs`` with ``quirk`` (an id) or ``decision`` (a sentence), and then
``ours`` is what sdg_stream gives where it differs: file -> content, or ``error: config``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "mixing"
SUFFIX = "S"
KEYS = {
    "shows", "kind", "generated", "instructions", "data", "prompt", "files", "datasets", "sys_prompt", "rows",
    "task", "samples", "expect", "quirk", "decision", "ours",
}  # fmt: skip

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Case:
    """One case, as written."""

    name: str
    spec: dict[str, Any]

    @property
    def kind(self) -> str:
        """``run``, ``mix``, ``mmlu`` or ``test``."""
        return str(self.spec["kind"])

    @property
    def differs(self) -> bool:
        """True where sdg_stream gives something else on purpose."""
        return self.spec.get("expect") == "differs"

    def lay_out(self, folder: Path) -> dict[str, Any]:
        """Write the case's files into ``folder``; gives the case with the folder's name in its texts."""
        spec: dict[str, Any] = json.loads(json.dumps(self.spec).replace("FOLDER", str(folder)))
        for file, content in spec.get("files", {}).items():
            write(folder / file, content)
        for file, content in spec.get("data", {}).items():
            write(folder / "data" / "instructlab" / "sdg" / file, content)
        for file, content in spec.get("generated", {}).items():
            write(folder / "generated" / file, content)
        if self.kind == "mix":
            metadata = {"sys_prompt": spec["sys_prompt"]} if "sys_prompt" in spec else {}
            write(folder / "recipe.yaml", {"datasets": spec["datasets"], "metadata": metadata})
        for name in ("knowledge", "freeform_skills", "grounded_skills") if self.kind == "run" else ():
            mixing = {"auxiliary_instructions": spec["instructions"]} if "instructions" in spec else {}
            content = {"version": "1.0", "blocks": [], **({"datamixing": mixing} if mixing else {})}
            write(folder / "pipeline" / f"{name}.yaml", content)
        return spec

    def normal(self, folder: Path, is_wanted: Callable[[str], bool] = lambda _name: True) -> dict[str, Any]:
        """What lies in ``out``, by file: rows or YAML content, with everything that is random made equal."""
        out = folder / "out"
        files = {file.relative_to(out).as_posix(): file for file in sorted(out.rglob("*")) if file.is_file()}
        return {name: self._content(file, folder) for name, file in files.items() if is_wanted(name)}

    def _content(self, file: Path, folder: Path) -> Any:
        text = file.read_text(encoding="utf-8").replace(str(folder), "FOLDER")
        if file.suffix == ".yaml":
            return yaml.safe_load(text)
        return [self._comparable(json.loads(line)) for line in text.split("\n") if line]

    def _comparable(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.kind != "run" or not _UUID.fullmatch(str(row.get("id"))):
            return row
        row["id"] = "UUID"
        metadata = json.loads(row.get("metadata") or "{}")
        user = next(message for message in row["messages"] if message["role"] == "user")
        if "_raft_" in metadata.get("dataset", ""):
            user["content"] = self._raft(user["content"], metadata["sdg_document"])
        for instruction in self.spec.get("instructions", {}).get(metadata.get("dataset_type"), ()):
            user["content"] = re.sub(rf"\n\n{re.escape(instruction)}$", "\n\nINSTRUCTION", user["content"])
        return row

    def _raft(self, content: str, own: str) -> str:
        """The question of a RAFT row, when its documents are what they can be."""
        context, question = content.rsplit("\n\n\n\n", 1)
        chosen = [text.removesuffix("\n\n\n") for text in context.split("Document:\n")[1:]]
        rows = [row for rows in self.spec["generated"].values() for row in rows if row.get("document")]
        leaf = next(row["leaf_node_path"] for row in rows if row["document"] == own)
        documents = {row["document"] for row in rows if row["leaf_node_path"] == leaf}
        assert len(set(chosen)) == len(chosen)
        assert set(chosen) <= documents
        others = len(documents) - 1
        assert len(chosen) == (min(others, 3) + 1 if own in chosen else min(others, 4))
        return f"DOCUMENTS{question}"


def write(file: Path, content: Any) -> None:
    """Write YAML content, rows as JSON lines, or text."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        content = "".join(f"{json.dumps(row)}\n" for row in content)
    elif isinstance(content, dict):
        content = yaml.safe_dump(content, sort_keys=False)
    file.write_text(content, encoding="utf-8")


@cache
def load_cases() -> tuple[Case, ...]:
    """All cases, in order; unknown keys are a ValueError."""
    content = yaml.safe_load((FOLDER / "cases.yaml").read_text(encoding="utf-8"))
    for name, spec in content["cases"].items():
        if unknown := spec.keys() - KEYS:
            raise ValueError(f"case {name} has unknown keys: {', '.join(sorted(unknown))}")
    return tuple(Case(name, spec) for name, spec in content["cases"].items())
