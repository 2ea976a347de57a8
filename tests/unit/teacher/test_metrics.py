"""What is read off a server's /metrics page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.teacher.metrics import ServerMetrics, read_metrics, total

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/model"} 12.0
vllm:num_requests_running{engine="1",model_name="org/model"} 11.0
vllm:num_requests_waiting{engine="0",model_name="org/model"} 3.0
vllm:num_requests_waiting{engine="1",model_name="org/model"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="org/model"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="org/model"} 0.75
vllm:num_preemptions_total{engine="0",model_name="org/model"} 2.0
vllm:num_preemptions_created{engine="0",model_name="org/model"} 1.7e+09
vllm:prompt_tokens_total{engine="0",model_name="org/model"} 1.5e+06
vllm:generation_tokens_total{engine="0",model_name="org/model"} 4000.0
vllm:prefix_cache_queries_total{engine="0",model_name="org/model"} 100.0
vllm:prefix_cache_hits_total{engine="0",model_name="org/model"} 60.0
vllm:request_queue_time_seconds_bucket{le="0.3",model_name="org/model"} 5.0
process_open_fds 40.0
"""


def test_engines_of_a_server_are_taken_together() -> None:
    """Sums over labels, and the fullest cache; creation times and histograms are other things."""
    assert read_metrics(VLLM) == ServerMetrics(
        running=23.0,
        waiting=3.0,
        kv_usage=0.75,
        preemptions=2.0,
        prompt_tokens=1.5e6,
        generation_tokens=4000.0,
        prefix_queries=100.0,
        prefix_hits=60.0,
    )


def test_older_names_mean_the_same() -> None:
    """gpu_cache_usage_perc and gpu_prefix_cache_*, with and without _total, with a timestamp at the end."""
    text = (
        'vllm:num_requests_running{model_name="a\\"b}c"} 1 1700000000\n'
        "vllm:num_requests_waiting 2\n"
        'vllm:gpu_cache_usage_perc{model_name="m"} 0.5\n'
        "vllm:num_preemptions 7\n"
        "vllm:gpu_prefix_cache_hits_total 3\n"
    )
    assert read_metrics(text) == ServerMetrics(
        running=1, waiting=2, kv_usage=0.5, preemptions=7, prefix_hits=3
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>not here</html>",
        "process_open_fds 40.0\n",
        "vllm:num_requests_running 4\n",
        "vllm:num_requests_running NaN\nvllm:num_requests_waiting +Inf\n",
        "vllm:num_requests_running -1\nvllm:num_requests_waiting 0\n",
        "vllm:num_requests_running\nvllm:num_requests_waiting x\n",
    ],
)
def test_pages_that_do_not_tell_a_queue(text: str) -> None:
    """Another server's page, half of what is needed, values that are none."""
    assert read_metrics(text) is None


def test_several_servers_as_one() -> None:
    """Sums, the fullest cache, and the shortest queue for all; of none it is all zero."""
    one = ServerMetrics(running=3, waiting=5, kv_usage=0.2, preemptions=1)
    other = ServerMetrics(running=4, waiting=2, kv_usage=0.9, generation_tokens=10)
    assert total([one, other]) == ServerMetrics(
        running=7, waiting=4, kv_usage=0.9, preemptions=1, generation_tokens=10
    )
    assert total([]) == ServerMetrics()


@given(st.text())
def test_any_text_is_read_without_trouble(text: str) -> None:
    """A page is what somebody else sent."""
    read_metrics(text)
    read_metrics(f"vllm:num_requests_running{{{text}}} 1\nvllm:num_requests_waiting {text}\n")


def test_the_simulated_teachers_page_is_read() -> None:
    """Its names are vLLM's."""
    from sdg_stream.simulator.scheduler import Scheduler
    from sdg_stream.simulator.stats import Counters, render_metrics

    settings = SimulatorSettings()
    scheduler = Scheduler(settings, lambda: 0.0, lambda _seconds, _call: None)  # type: ignore[arg-type,return-value]
    assert read_metrics(render_metrics(settings, Counters(), scheduler)) == ServerMetrics()
