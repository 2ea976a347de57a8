"""Names of leaf nodes: what is made of each goes into a file of that name, so no two may be the same."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..errors import Problem
from .leaf import LeafNode

__all__ = ["name_apart"]


def name_apart(leaves: Iterable[LeafNode]) -> tuple[list[LeafNode], list[Problem]]:
    """Number leaf nodes whose names are the same, as those of a/b_c and a_b/c are; and say so.

    The first keeps its name. Names that differ in case only are the same to some file systems.
    """
    apart: list[LeafNode] = []
    notes: list[Problem] = []
    taken: dict[str, str] = {}
    for leaf in leaves:
        name, number = leaf.name, 1
        while name.casefold() in taken:
            number += 1
            name = f"{leaf.name}-{number}"
        if number > 1:
            words = f"has the same name as {taken[leaf.name.casefold()]}; what is made of it is named {name}"
            notes.append(Problem(file=leaf.file, message=words))
            leaf = msgspec.structs.replace(leaf, name=name)  # noqa: PLW2901
        taken[name.casefold()] = leaf.file
        apart.append(leaf)
    return apart, notes
