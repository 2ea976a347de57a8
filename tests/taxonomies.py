"""Taxonomies and repositories of documents for tests, made of a few lines each."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

SKILL = "compositional_skills/writing/haiku/qna.yaml"
KNOWLEDGE = "knowledge/science/tides/qna.yaml"

_IDENTITY = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false")


def skill(**changes: Any) -> dict[str, Any]:
    """A sound skill of version 3 without contexts; a change to None takes a key away."""
    seeds = [
        {"question": f"Write about {thing}.", "answer": f"{thing}!"}
        for thing in ("rain", "sun", "ice", "fog", "wind")
    ]
    whole = {"version": 3, "created_by": "ann", "task_description": "Write a haiku.", "seed_examples": seeds}
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def grounded(**changes: Any) -> dict[str, Any]:
    """A sound skill of version 3 whose seeds have contexts."""
    seeds = [
        {"context": f"On {thing}.", **seed}
        for thing, seed in zip("abcde", skill()["seed_examples"], strict=True)
    ]
    return skill(**{"seed_examples": seeds, **changes})


def pairs(count: int = 3, about: str = "tides") -> list[dict[str, str]]:
    """Questions with answers."""
    return [{"question": f"What of {about}, part {n}?", "answer": f"{about} {n}."} for n in range(count)]


def knowledge(
    repo: Path | str = "https://example.org/tides.git", commit: str = "a" * 40, **changes: Any
) -> dict[str, Any]:
    """Sound knowledge of version 3."""
    seeds = [
        {"context": f"Passage {n}.", "questions_and_answers": pairs(about=f"passage {n}")} for n in range(5)
    ]
    whole = {
        "version": 3, "created_by": "ann", "domain": "Oceanography", "document_outline": "On tides.",
        "document": {"repo": str(repo), "commit": commit, "patterns": ["*.md"]}, "seed_examples": seeds,
    }  # fmt: skip
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def as_yaml(content: Any) -> str:
    """YAML without anything that yamllint's rules for taxonomies mind; text stays as it is."""
    return (
        content
        if isinstance(content, str)
        else yaml.safe_dump(content, sort_keys=False, indent=2, width=10_000)
    )


def write_files(folder: Path, files: dict[str, Any]) -> Path:
    """Write files, what is no text as YAML, below a folder; gives the folder."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(as_yaml(content), encoding="utf-8", newline="")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, without anybody's configuration; what it said."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    env |= {"GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z"}
    done = subprocess.run(
        ["git", *_IDENTITY, "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def listen_to_git(folder: Path) -> tuple[str, Path]:
    """A PATH whose git notes its arguments, and the file that it notes them in, one a line."""
    log = folder / "told"
    script = f'#!/bin/sh\nprintf "%s\\n" "$@" >> {log}\nexec {shutil.which("git")} "$@"\n'
    write_files(folder / "bin", {"git": script})
    (folder / "bin" / "git").chmod(0o755)
    return f"{folder / 'bin'}:{os.environ['PATH']}", log


def commit(folder: Path, files: dict[str, Any] | None = None, message: str = "more") -> str:
    """Write files, commit all that is in a folder, which becomes a repository; gives the hash."""
    write_files(folder, files or {})
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")
