"""Row numbers as NumPy draws them; the expected ones come from ``numpy.random.RandomState(seed).choice``."""

from __future__ import annotations

import pytest

from sdg_stream.mixing.numpy_draws import MAX_SEED, draw_with_replacement

DRAWN = [
    (10, 42, [6, 3, 7]),
    (5, 42, [3, 4, 2]),
    (1, 42, [0, 0, 0, 0]),
    (2, 42, [0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]),
    (16, 42, [6, 3, 12, 14, 10, 7, 12, 4, 6, 9, 2, 6]),
    (1000, 42, [102, 435, 860, 270, 106, 71, 700, 20]),
    (412, 0, [172, 47, 117, 192, 323, 251, 195, 359, 9, 211]),
    (412, MAX_SEED, [290, 12, 71, 64, 214, 288, 127, 123, 242, 107]),
    (65537, 7, [61615, 58564, 49689, 10742, 53459, 56718]),
    (3_000_000_000, 42, [1608637542, 787846414, 2571218620, 2563451924, 670094950]),
    (2**32, 42, [1608637542, 3421126067, 4083286876, 787846414]),
]


@pytest.mark.parametrize(("rows", "seed", "expected"), DRAWN)
def test_the_numbers_are_numpys(rows: int, seed: int, expected: list[int]) -> None:
    """Any number of rows, powers of two and the edges included, and any seed."""
    assert list(draw_with_replacement(rows, len(expected), seed)) == expected


def test_fewer_numbers_are_the_first_of_more() -> None:
    """Drawing more does not change what was drawn before."""
    assert list(draw_with_replacement(77, 5, 3)) == list(draw_with_replacement(77, 500, 3))[:5]
    assert list(draw_with_replacement(77, 0, 3)) == []
