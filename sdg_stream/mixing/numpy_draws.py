"""The row numbers that ``numpy.random.RandomState(seed).choice(n, size, replace=True)`` gives, without NumPy.

pandas draws by it in ``sample(random_state=seed, replace=True)``, and upstream mixes by that; so a recipe
gives the same rows in the same order here. NumPy and Python have the same generator, the Mersenne Twister;
they differ in how an integer becomes its state, and in how 32 random bits become a number below ``n``.

Source: NumPy's ``mt19937_seed`` (Knuth's initialisation), and its legacy bounded integers by masked
rejection: take the lowest bits that can hold ``n - 1``, again while they are above it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["MAX_SEED", "draw_with_replacement"]

MAX_SEED = 2**32 - 1
_WORDS = 624
_MULTIPLIER = 1812433253


def draw_with_replacement(rows: int, size: int, seed: int) -> Iterator[int]:
    """Give ``size`` row numbers from 0 to ``rows - 1``.

    Args:
        rows: how many there are to draw from, at least 1 and at most 2**32.
        size: how many to draw.
        seed: from 0 to :data:`MAX_SEED`.
    """
    last = rows - 1
    if not last:
        yield from (0 for _ in range(size))  # NumPy, too, draws nothing for it
        return
    mask = (1 << last.bit_length()) - 1
    bits = _twister(seed).getrandbits
    for _ in range(size):
        while (number := bits(32) & mask) > last:
            pass
        yield number


def _twister(seed: int) -> random.Random:
    """Python's generator in the state that NumPy makes of a seed."""
    words = [seed]
    for index in range(1, _WORDS):
        words.append((_MULTIPLIER * (words[-1] ^ words[-1] >> 30) + index) & 0xFFFFFFFF)
    generator = random.Random()
    generator.setstate((3, (*words, _WORDS), None))  # 3: the version of this form of state
    return generator
