"""Choosing replicas: by load, by what they have read before, by health, by name and model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_replicas import Measured, prompts, simulate

from sdg_stream.abc import CallShape, Request
from sdg_stream.errors import (
    AttemptError,
    AttemptTimeout,
    BadReply,
    ConnectFailed,
    RateLimited,
    RequestRefused,
    ServerFailed,
    TeacherUnusable,
)
from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.teacher.routing import BOUND, LONGEST_PAUSE, MAX_KEYS, Endpoint, Outcome, Router, outcome_of

REPLICAS = 4


def replicas(count: int = REPLICAS) -> list[Endpoint]:
    """Endpoints of the default pool."""
    return [Endpoint(f"http://replica{number}/v1") for number in range(count)]


def fail(router: Router, times: int, now: float = 0.0) -> Endpoint:
    """Let the first endpoint fail so many calls in a row, whatever the others do."""
    endpoint = router.endpoints[0]
    for _ in range(times):
        endpoint.in_flight += 1
        router.done(endpoint, 1, "failed", now)
    return endpoint


def test_without_a_key_the_least_loaded_takes_the_call() -> None:
    """Sequences in flight count, not calls; equally loaded endpoints take turns."""
    router = Router(replicas(3))
    first = router.pick(None, 10, 0.0)
    others = [router.pick(None, 1, 0.0) for _ in range(4)]
    assert first not in others
    assert sorted(endpoint.in_flight for endpoint in router.endpoints) == [2, 2, 10]


def test_records_that_share_a_prefix_go_where_it_is_cached() -> None:
    """While load allows it, a key stays at its endpoint."""
    router = Router(replicas())
    homes = {}
    for key in range(8):
        homes[key] = router.pick(key, 1, 0.0)
        router.done(homes[key], 1, "answered", 0.0)
    for key in (3, 1, 7, 3, 0, 5):
        endpoint = router.pick(key, 1, 0.0)
        assert endpoint is homes[key]
        router.done(endpoint, 1, "answered", 0.0)


def test_a_document_in_demand_gets_more_homes() -> None:
    """One key alone loads all endpoints alike, up to the bound."""
    router = Router(replicas())
    for _ in range(400):
        router.pick(7, 1, 0.0)
    assert all(80 <= endpoint.in_flight <= 100 * BOUND for endpoint in router.endpoints)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 10), st.booleans()), max_size=200))
def test_no_endpoint_is_chosen_above_the_bound(steps: list[tuple[int, int, bool]]) -> None:
    """After each pick the endpoint is within 1.15 times the mean load, or was the least loaded one."""
    router = Router(replicas())
    flying: list[tuple[Endpoint, int]] = []
    for key, cost, ends in steps:
        if ends and flying:
            router.done(*flying.pop(0), "answered", 0.0)
            continue
        before = [endpoint.in_flight for endpoint in router.endpoints]
        chosen = router.pick(key, cost, 0.0)
        flying.append((chosen, cost))
        mean = (sum(before) + cost) / REPLICAS
        least = chosen.in_flight - cost == min(before)
        assert least or chosen.in_flight <= BOUND * mean
    for endpoint, cost in flying:
        router.done(endpoint, cost, "left", 0.0)
    assert [endpoint.in_flight for endpoint in router.endpoints] == [0] * REPLICAS


def test_a_single_endpoint_needs_no_key() -> None:
    """Nothing is hashed where nothing depends on it, nor without affinity."""
    request = Request(CallShape.make("completions", {"model": "m"}), "prompt")
    assert Router(replicas(1)).key(request) is None
    assert Router(replicas(2), affinity=False).key(request) is None
    assert Router(replicas(2)).key(request) is not None


def test_what_is_remembered_of_keys_is_bounded() -> None:
    """The homes of keys that were not used for long are forgotten."""
    router = Router(replicas(2))
    for key in range(MAX_KEYS + 10):
        router.done(router.pick(key, 1, 0.0), 1, "answered", 0.0)
    assert len(router._homes) == MAX_KEYS
    assert 0 not in router._homes


def measured(*, affinity: bool, shuffled: bool, surplus: float = 1.1) -> Measured:
    """Four replicas of 16 slots whose caches hold a third of 60 documents each."""
    settings = SimulatorSettings(slots=16, kv_cache_tokens=40_000, prefill_tokens_per_s=10_000)
    router = Router(replicas(), affinity=affinity)
    return simulate(router, prompts(60, 10, shuffled=shuffled), settings, int(REPLICAS * 16 * surplus))


def test_affinity_finds_more_cached_and_answers_more() -> None:
    """Shuffled records: more hits and more calls a second than round robin, and loads within the bound."""
    spread, bound = measured(affinity=False, shuffled=True), measured(affinity=True, shuffled=True)
    assert bound.hits > 1.2 * spread.hits
    assert bound.rate > 1.15 * spread.rate
    assert bound.max_over_mean <= 1.25


def test_affinity_costs_next_to_nothing_where_it_gains_nothing() -> None:
    """Where neighbours share documents every cache has them anyway: still as many calls a second."""
    spread, bound = measured(affinity=False, shuffled=False), measured(affinity=True, shuffled=False)
    assert bound.hits > spread.hits
    assert bound.rate > 0.97 * spread.rate


# ---------------------------------------------------------------- health


def test_row_33_a_dead_replica_loses_its_share_and_gets_it_back() -> None:
    """After failures in a row nothing goes there; when a trial is answered everything does again."""
    router = Router(replicas(3), failures_in_row=3)
    dead = fail(router, 3, now=10.0)
    assert not router.outage
    assert dead not in [router.pick(None, 1, 10.5) for _ in range(9)]
    trial = router.pick(None, 1, 11.0)
    assert trial is dead  # one call finds out
    assert dead not in [router.pick(None, 1, 11.0) for _ in range(9)]
    router.done(trial, 1, "answered", 12.0, seconds=1.0)
    assert not dead.out
    assert dead.times_out == 1
    assert router.pick(None, 1, 12.0) is dead  # the least loaded


def test_trials_grow_rarer() -> None:
    """The pause doubles with each failed trial, up to half a minute."""
    router = Router(replicas(2), failures_in_row=1)
    dead = fail(router, 1)
    now, pauses = 0.0, []
    for _ in range(8):
        pauses.append(dead.not_before - now)
        now = dead.not_before
        assert router.pick(None, 1, now) is dead
        router.done(dead, 1, "failed", now)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert max(pauses) == LONGEST_PAUSE


def test_calls_from_before_do_not_postpone_the_trial() -> None:
    """A replica with many calls in flight fails all of them when it dies; that is one piece of news."""
    router = Router(replicas(2), failures_in_row=3)
    dead = fail(router, 64, now=5.0)
    assert dead.not_before == 6.0
    assert dead.failures == 64


def test_a_cancelled_trial_is_made_again() -> None:
    """A call that is given up says nothing about its endpoint, and leaves the trial to the next one."""
    router = Router(replicas(2), failures_in_row=1)
    dead = fail(router, 1)
    assert router.pick(None, 1, 1.0) is dead
    router.done(dead, 1, "left", 1.5)
    assert router.pick(None, 1, 1.5) is dead
    assert dead.out


def test_scattered_failures_put_nobody_out() -> None:
    """Only failures in a row count; an answer in between starts the count anew."""
    router = Router(replicas(2), failures_in_row=3)
    for _ in range(10):
        endpoint = fail(router, 2)
        endpoint.in_flight += 1
        router.done(endpoint, 1, "answered", 0.0)
    assert not endpoint.out


def test_an_outage_is_when_all_are_out() -> None:
    """Then the endpoint whose trial is due first is chosen: whether to call is for others to say."""
    router = Router(replicas(2), failures_in_row=1)
    fail(router, 1, now=0.0)
    other = router.endpoints[1]
    other.in_flight += 1
    router.done(other, 1, "failed", 0.5)
    assert router.outage
    assert router.pick(None, 1, 0.6) is router.endpoints[0]
    alone = Router(replicas(1), failures_in_row=1)
    fail(alone, 1)
    assert alone.outage
    assert alone.pick(None, 1, 0.0) is alone.endpoints[0]
    alone.done(alone.endpoints[0], 1, "answered", 0.1)
    assert not alone.outage


def test_a_replica_is_covered_while_another_one_is_in() -> None:
    """A failure that others make up for is not an outage; in a pool of one every failure may be."""
    judge = Endpoint("http://judge", name="judge")
    router = Router([*replicas(2), judge], failures_in_row=1)
    first, second, _ = router.endpoints
    assert router.covered(first)
    assert not router.covered(judge, name="judge")
    second.in_flight += 1
    router.done(second, 1, "failed", 0.0)
    assert not router.covered(first)
    assert router.covered(second)


def test_a_limited_endpoint_rests_as_long_as_it_asked() -> None:
    """With Retry-After the others take over until then; when all rest, all are taken as if none did."""
    router = Router(replicas(2))
    limited = router.pick(None, 1, 0.0)
    router.done(limited, 1, "limited", 0.0, retry_after=5.0)
    assert limited not in [router.pick(None, 1, 4.9) for _ in range(4)]
    assert router.pick(None, 1, 5.0) is limited
    for endpoint in router.endpoints:
        endpoint.in_flight += 1
        router.done(endpoint, 1, "limited", 6.0, retry_after=60.0)
    assert {router.pick(None, 1, 6.0).url for _ in range(6)} == {e.url for e in router.endpoints}


def test_another_attempt_goes_elsewhere() -> None:
    """A retry avoids the endpoint that failed as long as there is another."""
    router = Router(replicas(2))
    first = router.pick(5, 1, 0.0)
    router.done(first, 1, "failed", 0.0)
    assert router.pick(5, 1, 0.0, other_than=first) is not first
    alone = Router(replicas(1))
    assert alone.pick(5, 1, 0.0, other_than=alone.endpoints[0]) is alone.endpoints[0]


def test_a_second_attempt_needs_room_elsewhere() -> None:
    """Hedging takes the least loaded healthy endpoint, and none that has as much to do as the first."""
    router = Router(replicas(3), failures_in_row=1)
    first, second, third = router.endpoints
    first.in_flight, second.in_flight, third.in_flight = 4, 3, 2
    assert router.pick_second(first, 1, 0.0) is third
    assert third.in_flight == 3
    third.in_flight = 4
    assert router.pick_second(first, 2, 0.0) is None
    second.out = True
    assert router.pick_second(first, 1, 0.0) is None


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectFailed("reset"), "failed"),
        (AttemptTimeout("slow"), "failed"),
        (ServerFailed("broken", status=500), "failed"),
        (BadReply("cut", status=200), "failed"),
        (RateLimited("less", status=429), "limited"),
        (RequestRefused("too long", status=400), "answered"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_a_failure_says_about_its_endpoint(error: AttemptError, outcome: Outcome) -> None:
    """A refusal is an answer; a replica that fails fast must not draw calls by being idle."""
    assert outcome_of(error) == outcome


# ---------------------------------------------------------------- names and models


def test_a_model_is_asked_where_it_is_served() -> None:
    """Endpoints that list other models are left out; those that list none may have any."""
    judge, both = Endpoint("http://a", models=["judge"]), Endpoint("http://b", models=["judge", "writer"])
    silent = Endpoint("http://c")
    router = Router([judge, both, silent])
    assert {router.pick(None, 1, 0.0, model="writer").url for _ in range(6)} == {"http://b", "http://c"}
    assert {router.pick(None, 1, 0.0, model="judge").url for _ in range(9)} == {
        e.url for e in router.endpoints
    }
    with pytest.raises(TeacherUnusable, match="no endpoint has the model 'else'"):
        Router([judge, both]).pick(None, 1, 0.0, model="else")


def test_a_named_endpoint_is_asked_by_its_name_only() -> None:
    """Blocks without a name use the unnamed ones; a name may have replicas; unknown names are a mistake."""
    plain = Endpoint("http://plain")
    judges = [Endpoint("http://judge1", name="judge"), Endpoint("http://judge2", name="judge")]
    router = Router([plain, *judges])
    assert {router.pick(None, 1, 0.0).url for _ in range(4)} == {"http://plain"}
    assert {router.pick(None, 1, 0.0, name="judge").url for _ in range(4)} == {e.url for e in judges}
    with pytest.raises(TeacherUnusable, match=r"'critic'.*--endpoint-url critic=URL"):
        router.pick(None, 1, 0.0, name="critic")


def test_pools_follow_what_endpoints_list() -> None:
    """Endpoints that are asked for their models again get new pools."""
    endpoint = Endpoint("http://a", models=["old"])
    router = Router([endpoint, Endpoint("http://b", models=["new"])])
    assert router.pool("", "new") == router.endpoints[1:]
    endpoint.models = ("old", "new")
    router.forget_pools()
    assert router.pool("", "new") == router.endpoints
