"""The layers of the package: a module imports only from lower ones."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sdg_stream"

LAYERS = {
    "errors": 0, "record": 0, "events": 0, "version": 0, "disk": 0,
    "config": 1, "prompts": 1, "calls": 1, "threads": 1,
    "abc": 2, "ledger": 2,
    "blocks": 3, "teacher": 3, "io": 3, "engine": 3, "state": 3,
    "catalog": 4, "assembly": 4, "durable": 4, "session": 4, "pipeline": 4,
    "taxonomy": 4, "mixing": 4, "selection": 4,
    "cluster": 5, "generation": 5, "loadtest": 5,
    "observe": 6, "simulator": 6, "testing": 6, "compat": 6,
    "": 7, "cli": 7, "__main__": 7,
}  # fmt: skip

# The composition root joins what the catalog names; `python -m` is one more door to the command line.
ALLOWED = {
    ("pipeline", "catalog"),
    ("pipeline", "assembly"),
    ("pipeline", "durable"),
    ("pipeline", "session"),
    ("assembly", "catalog"),
    ("__main__", "cli"),
}


def home_of(parts: tuple[str, ...]) -> str:
    """The entry of the table that a module belongs to."""
    return "" if not parts or parts == ("__init__",) else parts[0]


def imports_of(file: Path) -> set[str]:
    """The table entries that a module imports from, resolved from relative and absolute imports."""
    package = file.relative_to(PACKAGE).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                base = package[: len(package) - node.level + 1] + module
            elif module[:1] == ("sdg_stream",):
                base = module[1:]
            else:
                continue
            names = [(alias.name,) for alias in node.names] if not base else [()]
            for name in names:
                target = base + name
                found.add(home_of(target) if home_of(target) in LAYERS else home_of(base))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = tuple(alias.name.split("."))
                if parts[0] == "sdg_stream":
                    found.add(home_of(parts[1:]))
    return found


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_from_lower_layers(file: Path) -> None:
    """Equal numbers never import each other; inside one folder they may."""
    own = home_of(file.relative_to(PACKAGE).with_suffix("").parts)
    assert own in LAYERS, f"{own} has no layer: put it into the table"
    for other in imports_of(file) - {own}:
        assert LAYERS[other] < LAYERS[own] or (own, other) in ALLOWED, f"{own} imports {other}"


def test_modules_stay_small() -> None:
    """No module is longer than 400 lines."""
    long = {str(file): n for file in MODULES if (n := len(file.read_text("utf-8").splitlines())) > 400}
    assert not long
