"""Taxonomies that upstream's reader and ours read, by name.

A case says which files there are, how they are read, and, where ours gives something else on purpose, why
(``differs``) and what (``leaves``, ``complaints``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taxonomies import KNOWLEDGE, SKILL, as_yaml, commit, git, grounded, knowledge, pairs, skill, write_files

OTHER = "compositional_skills/arithmetic/qna.yaml"
DOCUMENTS = {
    "tides.md": "# Tides\n",
    "more/neaps.md": "Neaps.\n",
    "more/.hidden.md": "No.\n",
    "more/MOON.MD": "Moon.\n",
}


@dataclass(frozen=True)
class Case:
    """One taxonomy.

    Attributes:
        shows: what the case is there for.
        files: the files, by path.
        read: what of it is read: the folder, or one file.
        base: as for upstream's ``taxonomy_base``.
        rules: text of a yamllint configuration.
        history: makes the folder a repository, once the files are there.
        differs: the reason why ours differs; empty if it must not.
        leaves: ours then: taxonomy path to its number of samples.
        complaints: ours then: words that the complaints must hold, one each.
    """

    shows: str
    files: dict[str, Any]
    read: str = ""
    base: str = "empty"
    rules: str = ""
    history: Callable[[Path], None] | None = None
    differs: str = ""
    leaves: dict[str, int] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()

    def make(self, folder: Path) -> Path:
        """Write the taxonomy and the repository that ``DOCS`` stands for; gives what is to be read."""
        documents = folder / "documents"
        if not documents.exists():
            commit(documents, DOCUMENTS)
        taxonomy = folder / "taxonomy"
        taxonomy.mkdir()
        head = git(documents, "rev-parse", "HEAD")
        texts = {name: as_yaml(content) for name, content in self.files.items()}
        write_files(taxonomy, {
            name: text.replace("DOCS", str(documents)).replace("COMMIT", head) for name, text in texts.items()
        })  # fmt: skip
        if self.history is not None:
            self.history(taxonomy)
        return taxonomy / self.read if self.read else taxonomy


def seeds(count: int, **more: str) -> list[dict[str, str]]:
    """Seeds of a skill."""
    return [{"question": f"What is {n} and {n}?", "answer": f"It is {2 * n}.", **more} for n in range(count)]


def changed(taxonomy: Path) -> None:
    """A branch with files changed, staged, deleted, renamed, committed and unknown to git."""
    commit(taxonomy, message="base")
    git(taxonomy, "branch", "base")
    git(taxonomy, "checkout", "--quiet", "-b", "work")
    commit(taxonomy, {"compositional_skills/committed/qna.yaml": skill()})
    write_files(
        taxonomy, {OTHER: skill(task_description="Changed."), "compositional_skills/staged/qna.yaml": skill()}
    )
    git(taxonomy, "add", "compositional_skills/staged")
    git(taxonomy, "mv", "compositional_skills/old", "compositional_skills/new")
    git(taxonomy, "rm", "--quiet", "compositional_skills/gone/qna.yaml")
    write_files(taxonomy, {"compositional_skills/unknown/qna.yaml": skill(), ".gitignore": "ignored\n"})
    write_files(taxonomy, {"compositional_skills/ignored/qna.yaml": skill()})


def unchanged(taxonomy: Path) -> None:
    """Nothing was done since the base."""
    commit(taxonomy, message="base")


def forked(taxonomy: Path) -> None:
    """The base branch went on after the work began: its newer files are none of the work's."""
    commit(taxonomy, message="base")
    git(taxonomy, "checkout", "--quiet", "-b", "work")
    commit(taxonomy, {"compositional_skills/mine/qna.yaml": skill()})
    git(taxonomy, "checkout", "--quiet", "main")
    commit(
        taxonomy, {"compositional_skills/theirs/qna.yaml": skill(), SKILL: skill(task_description="Theirs.")}
    )
    git(taxonomy, "checkout", "--quiet", "work")


def remote(taxonomy: Path) -> None:
    """A clone whose work goes beyond origin/main."""
    commit(taxonomy, message="base")
    git(taxonomy, "update-ref", "refs/remotes/origin/main", "HEAD")
    commit(taxonomy, {OTHER: skill(task_description="Changed.")})


def unrelated(taxonomy: Path) -> None:
    """A branch that shares no commit with HEAD."""
    commit(taxonomy, message="base")
    git(taxonomy, "checkout", "--quiet", "--orphan", "island")
    commit(taxonomy, message="island")


FILES = {
    name: skill()
    for name in (SKILL, OTHER, "compositional_skills/old/qna.yaml", "compositional_skills/gone/qna.yaml")
}
V1 = {"created_by": "ann", "seed_examples": seeds(1)}

CASES: dict[str, Case] = {
    "freeform": Case("a skill without contexts", {SKILL: skill()}),
    "grounded": Case("a skill with contexts", {SKILL: grounded()}),
    "version 2": Case("version 2 is the same for skills", {SKILL: skill(version=2)}),
    "version 1": Case(
        "one seed is enough, and nothing need be said", {SKILL: {**V1, "task_description": ""}}
    ),
    "no version": Case("a file without a version is of version 1", {SKILL: skill(version=None)}),
    "version 1 is not linted": Case(
        "spaces at line ends are no matter", {SKILL: as_yaml({**V1, "task_description": "x"}) + "  \n\n\n"}
    ),
    "unicode": Case(
        "text beyond ASCII", {SKILL: skill(task_description="Zeichne \u00dcbersicht \u2028 \U0001f30a")}
    ),
    "many leaves": Case("several leaf nodes", {SKILL: skill(), OTHER: grounded()}),
    "one file": Case("a file is read alone", {SKILL: skill(), OTHER: skill()}, read=SKILL),
    "deep": Case("folders in folders", {"compositional_skills/a/b/c/d/e/qna.yaml": skill()}),
    "inner top folder": Case(
        "the innermost top folder begins the path",
        {"compositional_skills/x/compositional_skills/y/qna.yaml": skill()},
    ),
    "same name": Case(
        "a/b_c and a_b/c",
        {"compositional_skills/a/b_c/qna.yaml": skill(), "compositional_skills/a_b/c/qna.yaml": skill()},
    ),
    "knowledge": Case("documents of a repository", {KNOWLEDGE: knowledge("DOCS", "COMMIT")}),
    "patterns": Case(
        "folders, hidden files, letters of any case",
        {
            KNOWLEDGE: knowledge(
                "DOCS",
                "COMMIT",
                document={"repo": "DOCS", "commit": "COMMIT", "patterns": ["more/*", "**/*.md"]},
            )
        },
        differs="a document that two patterns find is used once (Q-DOC-2)",
    ),
    "branch": Case("a commit named by a branch", {KNOWLEDGE: knowledge("DOCS", "main")}),
    "more pairs": Case(
        "seeds with more pairs than others",
        {
            KNOWLEDGE: knowledge(
                "DOCS",
                "COMMIT",
                seed_examples=[
                    {"context": f"{n}", "questions_and_answers": pairs(5 if n < 2 else 3, str(n))}
                    for n in range(5)
                ],
            )
        },
        differs="a sample has the pairs of its own seed, and no nulls (Q-TAX-7)",
    ),
    "other names": Case(
        "names that are nearly right, and other folders",
        {
            SKILL: skill(),
            "compositional_skills/a/qna.yml": skill(),
            "compositional_skills/b/QNA.yaml": skill(),
            "compositional_skills/c/notes.yaml": "x",
            "foundational_skills/d/qna.yaml": skill(),
            "qna.yaml": skill(),
        },
    ),
    "empty file": Case("nothing in it", {SKILL: "", OTHER: skill()}),
    "only a comment": Case("nothing but a comment in it", {SKILL: "# later\n"}),
    "mixed": Case(
        "seeds with and without context in one file",
        {SKILL: skill(seed_examples=[*seeds(3), *seeds(2, context="Here.")])},
        differs="such a leaf node is two, one of each kind, and no context is lost (Q-TAX-6)",
        leaves={"compositional_skills->writing->haiku": 5},
    ),
    "too few seeds": Case("four are too few", {SKILL: skill(seed_examples=seeds(4))}),
    "equal seeds": Case("no two may be the same", {SKILL: skill(seed_examples=[*seeds(4), seeds(1)[0]])}),
    "keys missing": Case("two keys are missing", {SKILL: skill(created_by=None, task_description=None)}),
    "unknown keys": Case("keys that nobody knows", {SKILL: skill(colour="red", size="big")}),
    "unknown keys in a seed": Case(
        "in a seed too", {SKILL: skill(seed_examples=[*seeds(4), {**seeds(9)[8], "note": "x"}])}
    ),
    "empty texts": Case(
        "texts must not be empty",
        {SKILL: skill(created_by="", seed_examples=[*seeds(4), {"question": "", "answer": "x"}])},
    ),
    "wrong types": Case(
        "numbers and dates are no texts",
        {SKILL: as_yaml(skill()).replace("rain!", "2024-01-01").replace("sun!", "17")},
    ),
    "long complaint": Case(
        "the end of a long complaint is what is wrong", {SKILL: skill(task_description=["x" * 300])}
    ),
    "seeds are no list": Case("a mapping instead of a list", {SKILL: skill(seed_examples={"question": "x"})}),
    "not a mapping": Case(
        "a list at the top", {SKILL: "- a\n- b\n"}, complaints=("must be a mapping",), differs="own words"
    ),
    "text at the top": Case(
        "a text at the top", {SKILL: "just text\n"}, complaints=("must be a mapping",), differs="own words"
    ),
    "version as text": Case("a version in quotes", {SKILL: skill(version="3")}),
    "version is no number": Case("a version that is a word", {SKILL: skill(version="three")}),
    "version 9": Case(
        "a version that does not exist",
        {SKILL: skill(version=9)},
        complaints=("no schema of version 9",),
        differs="own words",
    ),
    "version true": Case(
        "a version that is a truth value",
        {SKILL: skill(version=True)},
        complaints=("Unevaluated|not of type", "True"),
        differs="upstream looks for a schema of version True",
    ),
    "knowledge 1": Case("version 1 is over", {KNOWLEDGE: knowledge(version=1)}),
    "knowledge 2": Case("version 2 is over", {KNOWLEDGE: knowledge(version=2)}),
    "knowledge without documents": Case("documents must be named", {KNOWLEDGE: knowledge(document=None)}),
    "too few pairs": Case(
        "two are too few",
        {
            KNOWLEDGE: knowledge(
                seed_examples=[
                    {"context": f"{n}", "questions_and_answers": pairs(2, str(n))} for n in range(5)
                ]
            )
        },
    ),
    "no patterns": Case(
        "a pattern at least",
        {KNOWLEDGE: knowledge(document={"repo": "https://x/y", "commit": "c", "patterns": []})},
    ),
    "skill with documents": Case("skills have none", {SKILL: skill(document={"repo": "x"})}),
    "complaints in two files": Case(
        "all files are read", {SKILL: skill(created_by=None), OTHER: skill(seed_examples=seeds(2))}
    ),
    "spaces at the end": Case("lint", {SKILL: as_yaml(skill()).replace("\n", "  \n", 2)}),
    "no newline at the end": Case("lint", {SKILL: as_yaml(skill()).rstrip("\n")}),
    "lint and schema": Case("both at once", {SKILL: as_yaml(skill(created_by=None)) + "\n\n\n\n"}),
    "windows line ends": Case(
        "carriage returns are no matter", {SKILL: as_yaml(skill()).replace("\n", "\r\n")}
    ),
    "tabs": Case(
        "broken YAML",
        {SKILL: "version: 3\n\tcreated_by: x\n"},
        complaints=("not valid YAML",),
        differs="broken YAML is a complaint (Q-TAX-4)",
    ),
    "a key twice": Case(
        "lint finds it",
        {SKILL: as_yaml(skill()) + "created_by: ben\n"},
        complaints=("stands here twice",),
        differs="the reader finds it, in any version",
    ),
    "rules": Case(
        "rules of the user",
        {
            SKILL: as_yaml(skill())
            + "# a comment that is long, far longer than eighty characters, which these rules mind\n"
        },
        rules="extends: relaxed\nrules:\n  line-length: {max: 80, level: error}\n",
    ),
    "rules by name": Case("the name of one of yamllint's own", {SKILL: skill()}, rules="default"),
    "rules off": Case(
        "rules that ask for nothing", {SKILL: as_yaml(skill()) + "   \n\n"}, rules="rules: {}\n"
    ),
    "changed": Case("files that differ from a branch", FILES, base="base", history=changed),
    "since a commit": Case("files that differ from a commit", FILES, base="HEAD", history=changed),
    "forked": Case("only what this branch changed", FILES, base="main", history=forked),
    "remote": Case("a branch of a remote", FILES, base="origin/main", history=remote),
    "nothing changed": Case("no leaf nodes", FILES, base="main", history=unchanged),
    "no such base": Case(
        "a ref that is not there",
        FILES,
        base="nowhere",
        history=remote,
        differs="own words",
        complaints=("no branch, tag or commit 'nowhere'",),
    ),
    "no common commit": Case(
        "a branch of another history",
        FILES,
        base="main",
        history=unrelated,
        differs="own words",
        complaints=("no commit in common",),
    ),
    "no repository": Case(
        "a base in a plain folder", FILES, base="main", differs="own words", complaints=("no git repository",)
    ),
}
