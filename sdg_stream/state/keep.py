"""What users want of a run: how it is kept, and how much of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from .journal import Fsync

__all__ = ["Keep", "Resume", "Wanted"]

Resume: TypeAlias = Literal["auto", "never", "require"]
"""Go on with a run where there is one; refuse to; refuse not to."""


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with an earlier run of the same output, and how to keep this one.

    Attributes:
        resume: whether to go on with a run.
        overwrite: forget a run and its output.
        edited: accept that pipeline, settings, model or input have changed.
        retry_rejected: run roots with rejects again.
        cache: keep and use answers.
        cache_dir: keep them there, for several outputs to share.
        fsync: when files are brought to the disk: once a second (``interval``), with every batch
            (``always``), or when the system likes (``never``).
        command: what a person types to go on, without secrets; kept for those who look at the run later.
    """

    resume: Resume = "auto"
    overwrite: bool = False
    edited: bool = False
    retry_rejected: bool = False
    cache: bool = True
    cache_dir: Path | None = None
    fsync: Fsync = "interval"
    command: str = ""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a run: how to keep it, and how many input rows and accepted rows, all told."""

    keep: Keep
    limit: int | None = None
    target: int | None = None
