"""How full the teacher is kept: the makespan of real runs against the best that can be had.

    python bench/saturation.py               # one stage of 3,200 calls; a four-stage chain of 120 seeds
    python bench/saturation.py --repeat 3 --concurrency 64

The simulated teacher (64 slots, lognormal service times, mean 200 ms, sigma 0.8) runs in a process of its
own. Its service times are known before a call is made, so the *bound* can be computed: greedy list scheduling
of the very calls that the run made, each ready when the call it descends from is answered, deepest first,
then oldest root. That is the best a client can do that does not know lengths. One JSON line a case:
``over_bound`` is makespan / bound, where the makespan is the server's, from first request to last reply.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
from comparison.bounds import Call, best_makespan
from simulated import page, simulated_teacher, stats

import sdg_stream as sdg
from sdg_stream.abc import Api, Completion, Request
from sdg_stream.catalog import pipelines_dir
from sdg_stream.events import RunReport
from sdg_stream.simulator.replies import request_key, service_seconds
from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.simulator.wire import read_completion
from sdg_stream.teacher.wire import encode_request

SLOTS, MEAN, SIGMA = 64, 0.2, 0.8
SETTINGS = SimulatorSettings(latency="lognormal", latency_seconds=MEAN, latency_sigma=SIGMA, slots=SLOTS)

PROMPTS = pipelines_dir() / "prompts" / "skills"
JUDGE = """
  - name: {name}
    type: LLMBlock
    config: {{config_path: {prompts}/{prompt}, output_cols: [evaluation, score]}}
  - name: filter_{name}
    type: FilterByValueBlock
    config: {{filter_column: score, filter_value: {value}, operation: ge, convert_dtype: float}}
    drop_columns: [evaluation, score]
"""
QUESTIONS = f"""
  - name: gen_questions
    type: LLMBlock
    config:
      config_path: {PROMPTS}/freeform_questions.yaml
      output_cols: [question]
      batch_kwargs: {{num_samples: 10}}
"""
ANSWERS = f"""
  - name: gen_responses
    type: LLMBlock
    config: {{config_path: {PROMPTS}/freeform_responses.yaml, output_cols: [response]}}
"""
CASES = {
    "one_stage": f"""
  - name: gen_responses
    type: LLMBlock
    config: {{config_path: {PROMPTS}/simple_generate_qa_freeform.yaml, output_cols: [output]}}
""",
    "chain": QUESTIONS
    + JUDGE.format(name="eval_q", prompts=PROMPTS, prompt="evaluate_freeform_questions.yaml", value=1)
    + ANSWERS
    + JUDGE.format(name="eval_qa", prompts=PROMPTS, prompt="evaluate_freeform_pair.yaml", value=2),
}


class Watching:
    """A teacher that notes which calls were made."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.requests: list[Request] = []

    @property
    def model(self) -> str:
        """The model behind it."""
        return str(self.inner.model)

    @property
    def api(self) -> Api:
        """The API behind it."""
        api: Api = self.inner.api
        return api

    @property
    def slots(self) -> int:
        """The slots behind it."""
        return int(self.inner.slots)

    async def complete(self, request: Request) -> Completion:
        """Note a call and make it."""
        self.requests.append(request)
        completion: Completion = await self.inner.complete(request)
        return completion


def main() -> None:
    """Run the cases and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--case", choices=[*CASES], nargs="+", default=[*CASES])
    parser.add_argument("--order", choices=["input", "none"], nargs="+", default=["input"])
    parser.add_argument("--seeds", type=int, default=120, help="input rows of the chain")
    parser.add_argument("--calls", type=int, default=3200, help="input rows of the single stage")
    parser.add_argument("--concurrency", type=int, default=SLOTS + 8)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    latency = ("--latency", "lognormal", "--latency-seconds", str(MEAN))
    with simulated_teacher("--slots", str(SLOTS), *latency) as url:
        for case in options.case:
            for order in options.order:
                count = options.calls if case == "one_stage" else options.seeds
                results = [
                    run_case(case, order, url, count, options.concurrency) for _ in range(options.repeat)
                ]
                print(json.dumps(_median(results)), flush=True)


def run_case(
    case: str, order: Literal["input", "none"], url: str, count: int, concurrency: int
) -> dict[str, Any]:
    """One run beside its bound."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        file.write_text(f'version: "1.0"\nblocks:{CASES[case]}')
        requests, report = anyio.run(
            _run, file, url, count, concurrency, order, backend_options={"use_uvloop": True}
        )
    counted = stats(url)
    makespan = counted["last_at"] - counted["first_at"]
    bound = bound_of(requests)
    return {
        "case": case,
        "order": order,
        "calls": len(requests),
        "rows": report.rows,
        "concurrency": concurrency,
        "makespan_s": round(makespan, 3),
        "bound_s": round(bound, 3),
        "over_bound": round(makespan / bound, 4),
        "busy": round(counted["busy_slot_seconds"] / (SLOTS * makespan), 4),
    }


async def _run(
    file: Path, url: str, count: int, concurrency: int, order: Literal["input", "none"]
) -> tuple[list[Request], RunReport]:
    rows = [
        {
            "task_description": f"task {n}",
            "seed_question": f"What is the answer to question number {n}?",
            "seed_response": f"It is {n * 7}.",
        }
        for n in range(count)
    ]
    pipeline = sdg.Pipeline.load(file, allow_paths=[pipelines_dir()])
    async with sdg.connect(url, concurrency=concurrency) as client:
        teacher = Watching(client)
        await anyio.to_thread.run_sync(page, url, "reset", "POST")  # forget the probe
        report = await pipeline.run(rows, file.with_name("out.jsonl"), teacher, order=order)
    return teacher.requests, report


def bound_of(requests: list[Request]) -> float:
    """Seconds that greedy list scheduling of these calls takes on the slots."""
    depths = sorted({request.depth for request in requests})
    oldest_first = sorted(requests, key=lambda request: (request.root, request.path))
    places = {(r.depth, r.root, r.path): place for place, r in enumerate(oldest_first)}
    calls = [
        Call(seconds_of(request), request.depth, _parent(request, depths, places)) for request in oldest_first
    ]
    return best_makespan(calls, SLOTS)


def _parent(
    request: Request, depths: list[int], places: dict[tuple[int, int, tuple[int, ...]], int]
) -> int | None:
    """The call whose reply this one's record comes from: at the stage before, at a prefix of its path."""
    index = depths.index(request.depth)
    if not index:
        return None
    for length in range(len(request.path), -1, -1):
        found = places.get((depths[index - 1], request.root, request.path[:length]))
        if found is not None:
            return found
    return None


def seconds_of(request: Request) -> float:
    """The simulated teacher's service time for a request of one choice."""
    asked = read_completion(encode_request(request), SETTINGS)
    [prompt] = asked.prompts  # without the chat template, as the simulated teacher reads it
    return service_seconds(SETTINGS, request_key(SETTINGS, asked, prompt), 0)


def _median(results: list[dict[str, Any]]) -> dict[str, Any]:
    ratios = sorted(result["over_bound"] for result in results)
    middle = statistics.median_low(ratios)
    chosen = next(result for result in results if result["over_bound"] == middle)
    return {**chosen, "runs": len(results), "spread": [ratios[0], ratios[-1]]}


if __name__ == "__main__":
    main()
