"""Choices that look random and are the same whenever the same job is done again."""

from __future__ import annotations

import random
import uuid
from hashlib import blake2b

__all__ = ["DEFAULT_SEED", "chooser", "row_id"]

DEFAULT_SEED = 42
"""Upstream's, for what it draws from datasets."""


def chooser(seed: int, *purpose: str) -> random.Random:
    """A source of choices of its own for each purpose, so that none depends on how often another is asked."""
    return random.Random("\0".join((str(seed), *purpose)))


def row_id(*parts: str) -> str:
    """The id of a training row, a UUID of version 4 made of what tells the row from all others."""
    digest = blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))
