"""``bench`` beside guidellm and aiperf: the same prompts on the same simulated teacher, the numbers compared.

    python bench/load_testers.py                                       # three levels, two servers: 15 minutes
    python bench/load_testers.py --levels 8 --seconds 8 --repeat 1     # a quick look

Makes a venv for each tool below ``--venvs`` on first use. guidellm brings torch, of which any build will do:
pip's own settings (PIP_CONSTRAINT, PIP_EXTRA_INDEX_URL) choose a small one. Nothing is asked of a hub: aiperf
wants a tokenizer and gets one that is made here, and all three take token counts from the server's ``usage``.

The simulated teacher has 64 slots and streams replies of 40 tokens, each in 1 s (``fixed``) or in long-tailed
times of 1 s on average (``lognormal``; a prompt's time is always the same). The tools take turns, each in
processes of its own beside the server's. One JSON line for each tool and level with medians over the repeats
(times in milliseconds), then what differs from ours by more than 3 %, and why.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from random_model import write_tokenizer
from simulated import simulated_teacher

from sdg_stream.loadtest.synthetic import WORDS

HERE = Path(__file__).parent
REQUIREMENTS = {"guidellm": "guidellm==0.8.1", "aiperf": "aiperf==0.13.0"}
SLOTS, SERVICE_SECONDS = 64, 1.0
REPLY = " ".join(["word"] * 32)
MAX_TOKENS = 64
PROMPTS, PROMPT_WORDS = 4000, 60
WARMUP, COOLDOWN = 3, 3
OTHER = 0.03  # relative; numbers that differ by more are told
SCATTER = {"fixed": 0.0, "lognormal": 0.95}  # of a reply's seconds, relative: sqrt(exp(sigma**2) - 1)
SURE = 2.0  # standard errors
FEW = 1000  # requests, of which ten are above the 99th percentile
SMALL_MS = 3.0  # times that differ by less than this are even: these are other programs' turns on the CPU

Numbers = dict[str, float]
"""Rates a second, ``in_flight_mean`` as the tool itself tells it, and times in milliseconds."""
Tester = Callable[[str, Path, Sequence[int], int], Iterator[tuple[int, Numbers]]]
"""Given a base URL, a folder with ``prompts.jsonl``, levels and seconds: the numbers of each level."""

LATE = "its client reads a text later, having more to do for each"
WHY: Mapping[tuple[str, str], str] = {
    (
        "aiperf",
        "latency_p50",
    ): "it ends at the last text; ours, and its http_req_duration, at the reply's end",
    ("aiperf", "latency_p99"): "as latency_p50, and its client reads the end later (http_req_duration_p99)",
    ("aiperf", "first_token_p50"): LATE,
    ("guidellm", "first_token_p50"): LATE,
    ("guidellm", "latency_p50"): "its client reads the end of a reply later, having more to do for each",
    ("guidellm", "latency_p99"): "as latency_p50",
}


def main() -> None:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tools", choices=[*TESTERS], nargs="+", default=[*TESTERS])
    parser.add_argument("--cases", choices=["fixed", "lognormal"], nargs="+", default=["fixed", "lognormal"])
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=int, default=15, help="of each window")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--venvs", type=Path, default=HERE / ".venvs", help="folder of the environments")
    options = parser.parse_args()
    venvs = options.venvs.resolve()
    for tool in options.tools:
        if tool in REQUIREMENTS:
            make_environment(venvs / tool, REQUIREMENTS[tool])
    for case in options.cases:
        found: dict[str, dict[int, list[Numbers]]] = {tool: {} for tool in options.tools}
        for _ in range(options.repeat):
            for tool in options.tools:
                for level, numbers in _measured(tool, case, venvs, options.levels, options.seconds):
                    found[tool].setdefault(level, []).append(numbers)
        medians = {
            tool: {level: _medians(runs) for level, runs in levels.items()} for tool, levels in found.items()
        }
        for tool, levels in medians.items():
            for level, numbers in levels.items():
                line = {"case": case, "tool": tool, "in_flight": level, "runs": options.repeat, **numbers}
                print(json.dumps(line), flush=True)
        requests = options.seconds * options.repeat / SERVICE_SECONDS
        for words in differences(case, medians, requests):
            print(words, flush=True)


def make_environment(place: Path, requirement: str) -> None:
    """A venv with a tool, unless it is there."""
    done = place / "installed.txt"
    if done.exists() and done.read_text(encoding="utf-8") == requirement:
        return
    print(f"installing {requirement}", file=sys.stderr, flush=True)
    venv.create(place, clear=True, with_pip=True)
    subprocess.run([place / "bin" / "python", "-m", "pip", "install", "--quiet", requirement], check=True)
    done.write_text(requirement, encoding="utf-8")


def differences(case: str, medians: Mapping[str, Mapping[int, Numbers]], requests: float) -> Iterator[str]:
    """In words, what others say otherwise than ``bench``.

    Args:
        case: kind of server.
        medians: by tool and level.
        requests: that were measured for each one in flight, about.
    """
    ours = medians.get("bench", {})
    for tool, levels in medians.items():
        for level, numbers in levels.items():
            for name, value in numbers.items():
                mine = ours.get(level, {}).get(name)
                if tool == "bench" or name == "in_flight_mean" or not mine or _even(name, value, mine):
                    continue
                why = WHY.get((tool, name), "no reason is known")
                chance = SURE * SCATTER[case] * math.sqrt(2 / (requests * level))
                if abs(value / mine - 1) < chance:
                    why = f"lengths scatter, so that two windows differ by up to {chance:.0%} by chance"
                elif "p99" in name and SCATTER[case] and requests * level < FEW:
                    why = f"a 99th percentile of {requests * level:.0f} lengths that scatter is chance"
                elif "_per_s" in name:
                    why = f"by its own count it had {numbers['in_flight_mean']:.1f} requests in flight"
                yield f"{case}, {level} in flight: {tool}'s {name} is {value / mine - 1:+.1%} of ours: {why}"


def _even(name: str, value: float, mine: float) -> bool:
    small = "_per_s" not in name and abs(value - mine) < SMALL_MS
    return small or abs(value / mine - 1) <= OTHER


def _medians(runs: Sequence[Numbers]) -> Numbers:
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def _measured(
    tool: str, case: str, venvs: Path, levels: Sequence[int], seconds: int
) -> Iterator[tuple[int, Numbers]]:
    """A tool's numbers on a fresh server."""
    timing = ("--latency", case, "--latency-seconds", str(SERVICE_SECONDS))
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated_teacher("--slots", str(SLOTS), *timing, "--reply", REPLY) as url,
    ):
        place = Path(folder)
        _write_prompts(place / "prompts.jsonl")
        (place / "venv").symlink_to(venvs / tool)
        yield from TESTERS[tool](url, place, levels, seconds)


def _write_prompts(file: Path) -> None:
    """Prompts that have nothing in common but words; under the names that the tools know."""
    draw = random.Random(5)
    words = WORDS.split()
    with file.open("w", encoding="utf-8") as lines:
        for number in range(PROMPTS):
            text = f"{number:06d} {' '.join(draw.choices(words, k=PROMPT_WORDS))}"
            lines.write(json.dumps({"prompt": text, "text": text}) + "\n")


def _bench(url: str, place: Path, levels: Sequence[int], seconds: int) -> Iterator[tuple[int, Numbers]]:
    """``python -m sdg_stream bench``."""
    result = place / "bench.json"
    flight = ",".join(map(str, levels))
    command = [sys.executable, "-m", "sdg_stream", "bench", "--endpoint-url", url, "--api", "chat"]
    command += ["--prompts", str(place / "prompts.jsonl"), "--output-tokens", str(MAX_TOKENS)]
    command += ["--concurrency", flight, "--duration", str(seconds), "--warmup", str(WARMUP)]
    _run([*command, "--json", str(result)], place, PYTHONPATH=str(HERE.parent))
    for level in json.loads(result.read_text(encoding="utf-8"))["levels"]:
        yield (
            level["concurrency"],
            {
                "requests_per_s": level["requests_per_s"],
                "output_tokens_per_s": level["output_tokens_per_s"],
                "in_flight_mean": level["requests_per_s"] * level["latency"]["mean"],
                "first_token_p50": 1000 * level["first_token"]["p50"],
                "inter_token_p50": 1000 * level["inter_token"]["p50"],
                "latency_p50": 1000 * level["latency"]["p50"],
                "latency_p99": 1000 * level["latency"]["p99"],
            },
        )


def _guidellm(url: str, place: Path, levels: Sequence[int], seconds: int) -> Iterator[tuple[int, Numbers]]:
    """``guidellm run``: the levels one after the other, with a warm-up and a cool-down that do not count."""
    result = place / "guidellm.json"
    backend = {
        "kind": "openai_http",
        "target": url.removesuffix("/v1"),
        "request_format": "/v1/chat/completions",
        "extras": {"body": {"temperature": 1.0, "max_tokens": MAX_TOKENS}},
    }
    profile = {"kind": "concurrent", "streams": [*levels], "warmup": WARMUP, "cooldown": COOLDOWN}
    columns = {"kind": "generative_column_mapper", "column_mappings": {"text_column": "text"}}
    command = [str(place / "venv" / "bin" / "guidellm"), "run", "--disable-console-interactive"]
    command += ["--backend", json.dumps(backend), "--profile", json.dumps(profile)]
    command += ["--constraint", f"kind=max_duration,seconds={WARMUP + seconds + COOLDOWN}"]
    command += ["--data", f"kind=json_file,path={place / 'prompts.jsonl'}"]
    command += ["--data-column-mapper", json.dumps(columns), "--output", f"kind=json,path={result}"]
    _run(command, place, GUIDELLM__MAX_WORKER_PROCESSES="1", HF_HUB_OFFLINE="1")
    benchmarks = json.loads(result.read_text(encoding="utf-8"))["benchmarks"]
    for level, measured in zip(levels, benchmarks, strict=True):
        metrics = {name: kinds["successful"] for name, kinds in _distributions(measured["metrics"])}
        yield (
            level,
            {
                "requests_per_s": metrics["requests_per_second"]["mean"],
                "output_tokens_per_s": metrics["output_tokens_per_second"]["mean"],
                "in_flight_mean": metrics["request_concurrency"]["mean"],
                "first_token_p50": metrics["time_to_first_token_ms"]["percentiles"]["p50"],
                "inter_token_p50": metrics["inter_token_latency_ms"]["percentiles"]["p50"],
                "latency_p50": 1000 * metrics["request_latency"]["percentiles"]["p50"],
                "latency_p99": 1000 * metrics["request_latency"]["percentiles"]["p99"],
            },
        )


def _distributions(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return (
        (name, kinds) for name, kinds in metrics.items() if isinstance(kinds, dict) and "successful" in kinds
    )


def _aiperf(url: str, place: Path, levels: Sequence[int], seconds: int) -> Iterator[tuple[int, Numbers]]:
    """``aiperf profile``, once for each level."""
    write_tokenizer(place / "tokenizer", WORDS.split())
    for level in levels:
        folder = place / f"aiperf-{level}"
        command = [str(place / "venv" / "bin" / "aiperf"), "profile", "-m", "simulated-teacher"]
        command += ["--url", url.removesuffix("/v1"), "--endpoint-type", "chat", "--streaming"]
        command += ["--use-server-token-count", "--tokenizer", str(place / "tokenizer")]
        command += ["--input-file", str(place / "prompts.jsonl"), "--custom-dataset-type", "single_turn"]
        command += ["--extra-inputs", "temperature:1.0", f"max_tokens:{MAX_TOKENS}"]
        command += ["--concurrency", str(level), "--benchmark-duration", str(seconds)]
        command += ["--warmup-duration", str(WARMUP), "--workers-max", "1", "--record-processors", "1"]
        command += ["--ui", "none", "--no-gpu-telemetry", "--no-server-metrics"]
        _run([*command, "--output-artifact-dir", str(folder)], place)
        found = json.loads((folder / "profile_export_aiperf.json").read_text(encoding="utf-8"))
        yield (
            level,
            {
                "requests_per_s": found["request_throughput"]["avg"],
                "output_tokens_per_s": found["output_token_throughput"]["avg"],
                "in_flight_mean": found["effective_concurrency"]["avg"],
                "first_token_p50": found["time_to_first_token"]["p50"],
                "inter_token_p50": found["inter_token_latency"]["p50"],
                "latency_p50": found["request_latency"]["p50"],
                "latency_p99": found["request_latency"]["p99"],
                "http_req_duration_p50": found["http_req_duration"]["p50"],
                "http_req_duration_p99": found["http_req_duration"]["p99"],
                "credit_to_start_p50": found["credit_to_start_latency"]["p50"],
            },
        )


def _run(command: Sequence[str], folder: Path, **environment: str) -> None:
    """Run a tool to its end; what it says is shown only if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{Path(command[0]).name} failed:\n{done.stdout[-3000:]}")


TESTERS: Mapping[str, Tester] = {"bench": _bench, "guidellm": _guidellm, "aiperf": _aiperf}


if __name__ == "__main__":
    main()
