"""The arithmetic of a window: shares, rates, percentiles, scatter."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.loadtest.window import Sample, measured, percentiles, rates, scatter


def test_a_request_counts_with_its_share_inside() -> None:
    """Whole inside 1, half inside 0.5, outside 0; tokens by the same share."""
    samples = [
        Sample(1.0, 3.0, prompt_tokens=10, output_tokens=20),
        Sample(-1.0, 1.0, prompt_tokens=10, output_tokens=20),
        Sample(9.0, 13.0, prompt_tokens=10, output_tokens=40),
        Sample(11.0, 12.0, output_tokens=1000),
    ]
    found = rates(samples, 0.0, 10.0)
    assert found.requests_per_s == pytest.approx((1 + 0.5 + 0.25) / 10)
    assert found.output_tokens_per_s == pytest.approx((20 + 10 + 10) / 10)
    assert found.total_tokens_per_s == pytest.approx((30 + 15 + 12.5) / 10)


@pytest.mark.parametrize("seconds", [0.75, 1.0, 1.05, 1.3])
def test_waves_do_not_make_the_rate_jump(seconds: float) -> None:
    """Requests that begin together and take equally long give 8 in flight / 0.2 s, whatever the window."""
    samples = [Sample(0.2 * wave, 0.2 * (wave + 1)) for wave in range(20) for _ in range(8)]
    assert rates(samples, 0.5, 0.5 + seconds).requests_per_s == pytest.approx(40)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 50)), min_size=1, max_size=30),
    st.lists(st.floats(1, 149), max_size=5, unique=True),
)
def test_windows_that_tile_the_time_count_each_request_once(
    spans: list[tuple[float, float]], cuts: list[float]
) -> None:
    """No request is lost or counted twice, however long it takes and wherever the windows end."""
    samples = [Sample(sent, sent + taken) for sent, taken in spans]
    ends = [0.0, *sorted(cuts), 150.0]
    total = sum(
        rates(samples, begin, end).requests_per_s * (end - begin) for begin, end in itertools.pairwise(ends)
    )
    assert total == pytest.approx(len(samples))


def test_long_requests_are_not_lost() -> None:
    """In a steady closed loop of long and short requests the rate is that of the loop (Little's law)."""
    draw = random.Random(0)
    samples, workers = [], 40
    for _ in range(workers):
        now = -draw.uniform(0, 20)
        while now < 140:
            taken = draw.choice([0.5, 20.0])
            samples.append(Sample(now, now + taken))
            now += taken
    found = measured(samples, 30.0, 100.0)
    assert found.rates.requests_per_s == pytest.approx(workers / 10.25, rel=0.1)


def test_latencies_are_of_what_was_answered_in_the_window() -> None:
    """Whenever it was sent; failures count by kind, and in no latency and no rate."""
    samples = [
        Sample(0.0, 6.0, first=1.0, last=5.0, output_tokens=5),
        Sample(5.5, 5.8, error="timeout"),
        Sample(6.0, 12.0),
    ]
    found = measured(samples, 5.0, 10.0)
    assert (found.completed, found.errors) == (1, {"timeout": 1})
    assert found.latency.p99 == 6.0
    assert found.first_token is not None
    assert found.first_token.p50 == 1.0
    assert found.inter_token is not None
    assert found.inter_token.p50 == 1.0
    assert found.rates.requests_per_s == pytest.approx((1 / 6 + 4 / 6) / 5)


def test_nothing_in_the_window_is_zeros() -> None:
    """An empty window divides by nothing."""
    found = measured([], 0.0, 1.0)
    assert (found.completed, found.latency.p99, found.rates.requests_per_s) == (0, 0.0, 0.0)
    assert found.first_token is None


def test_percentiles_interpolate() -> None:
    """Between order statistics, in a straight line: numpy's default, too."""
    found = percentiles([4.0, 1.0, 3.0, 2.0])
    assert (found.mean, found.p50) == (2.5, 2.5)
    assert found.p90 == pytest.approx(3.7)
    assert percentiles([7.0]).p99 == 7.0


def test_scatter_is_how_much_replies_stray() -> None:
    """Tokens that come at one pace do not scatter; times that have nothing to do with tokens do."""
    draw = random.Random(0)
    lengths = [draw.randint(10, 500) for _ in range(1000)]
    paced = [Sample(0.0, 0.01 * tokens, output_tokens=tokens) for tokens in lengths]
    assert scatter(paced, -1.0, 100.0, "output_tokens_per_s") == pytest.approx(0)
    times = [draw.expovariate(1.0) for _ in range(1000)]
    loose = [Sample(0.0, taken) for taken in times]
    assert scatter(loose, -1.0, 100.0, "requests_per_s") == pytest.approx(1.0, rel=0.15)
    assert scatter([], 0.0, 1.0, "requests_per_s") == 0.0
