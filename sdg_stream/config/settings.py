"""Settings of a run that blocks can see, as one frozen struct with one set of defaults."""

from __future__ import annotations

import msgspec

__all__ = ["DEFAULT_MAX_TOKENS", "DEFAULT_NUM_INSTRUCTIONS", "Settings"]

DEFAULT_MAX_TOKENS = 4096  # upstream's default; a max_num_tokens of this value counts as "not set"
DEFAULT_NUM_INSTRUCTIONS = 30


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller of a pipeline decides, beside the pipeline file.

    Attributes:
        model_id: wins over the blocks' own ``model_id`` when given.
        model_family: chat template family; wins over the blocks' own when given.
        num_instructions: what ``n: scaled`` stands for.
        max_num_tokens: ``max_tokens`` of a block named ``gen_knowledge``, unless it is the default.
        provenance: keep what each call cost with the records.
    """

    model_id: str | None = None
    model_family: str | None = None
    num_instructions: int | None = DEFAULT_NUM_INSTRUCTIONS
    max_num_tokens: int | None = None
    provenance: bool = False
