"""Files of a load test and the comparison of two."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import msgspec
import pytest
from sample_bench import LEVELS, report

from sdg_stream.errors import ConfigError, OutputError
from sdg_stream.loadtest.bench import assembled
from sdg_stream.loadtest.compare import compared
from sdg_stream.loadtest.files import RequestLog, as_csv, as_json, check_writable, read_report, write_file
from sdg_stream.loadtest.results import BenchReport, Spread
from sdg_stream.loadtest.window import Sample


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    """And has the names that others read."""
    write_file(tmp_path / "a.json", as_json(report()))
    assert read_report(tmp_path / "a.json") == report()
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["recommended_concurrency"] == 8
    level = data["levels"][0]
    assert {"concurrency", "requests_per_s", "output_tokens_per_s"} <= set(level)
    assert set(level["latency"]) == {"mean", "p50", "p90", "p95", "p99"}


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 1}', '{"levels": 3}'])
def test_another_file_is_no_report(tmp_path: Path, content: str) -> None:
    """A mistake with the file's name, not a traceback."""
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ConfigError, match=r"x\.json was not written by bench"):
        read_report(tmp_path / "x.json")
    with pytest.raises(ConfigError, match="cannot read"):
        read_report(tmp_path / "none.json")


def test_a_report_of_another_schema_is_refused(tmp_path: Path) -> None:
    """Rather than read wrongly."""
    (tmp_path / "x.json").write_bytes(as_json(msgspec.structs.replace(report(), schema=2)))
    with pytest.raises(ConfigError, match="schema 2"):
        read_report(tmp_path / "x.json")


def test_csv_has_a_line_for_each_level() -> None:
    """Empty where nothing is known."""
    rows = list(csv.DictReader(as_csv(report()).decode().splitlines()))
    assert [row["concurrency"] for row in rows] == ["4", "8", "16"]
    assert float(rows[1]["latency_p99"]) == LEVELS[1].latency.p99
    assert rows[0]["running"] == ""
    assert rows[1]["server_output_tokens_per_s"] == "790.0"


def test_requests_are_lines(tmp_path: Path) -> None:
    """With times since the first one; a failure has its kind and words."""
    log = RequestLog(tmp_path / "r.jsonl")
    log.write(4, [Sample(10.0, 11.5, first=10.5, prompt_tokens=3, output_tokens=2)])
    log.write(4, [Sample(12.0, 13.0, error="timeout", words="no whole reply")])
    log.close()
    first, second = map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())
    assert (first["sent"], first["latency"], first["first_token"], first["error"]) == (0, 1.5, 0.5, None)
    assert (second["replica"], second["sent"], second["error"]) == (2, 2, "timeout")


def test_files_that_cannot_be_written_are_told_before(tmp_path: Path) -> None:
    """And what a file holds stays as it is."""
    (tmp_path / "a.json").write_text("old")
    check_writable(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == "old"
    for touch in (check_writable, RequestLog):
        with pytest.raises(OutputError, match="cannot write"):
            touch(tmp_path / "no" / "a.json")


def test_what_differs_is_known_before_the_ratios() -> None:
    """The set-up, but not the command; then each level that both have."""
    first = report()
    levels = tuple(
        msgspec.structs.replace(level, output_tokens_per_s=1.5 * level.output_tokens_per_s, spread={})
        for level in first.levels[:2]
    )
    setup = msgspec.structs.replace(first.setup, model="other", command="bench ...")
    second = msgspec.structs.replace(first, levels=levels, setup=setup, best=2 * first.best)
    found = compared(first, second)
    assert found.differences == (("model", "m", "other"),)
    assert [level.rate for level in found.levels] == [pytest.approx(1.5)] * 2
    assert (found.missing, found.best) == ((16,), 2.0)


def test_the_spread_of_a_ratio_is_that_of_both() -> None:
    """Lowest by highest, to highest by lowest."""
    first, second = (
        msgspec.structs.replace(
            report(),
            levels=(msgspec.structs.replace(LEVELS[0], spread={"output_tokens_per_s": spread}),),
        )
        for spread in (Spread(low=90.0, high=110.0), Spread(low=180.0, high=220.0))
    )
    [level] = compared(first, second).levels
    assert level.spread is not None
    assert level.spread.low == pytest.approx(180 / 110)
    assert level.spread.high == pytest.approx(220 / 90)


def put_together(**more: object) -> BenchReport:
    """What follows from the sample levels."""
    levels = [msgspec.structs.replace(level, **more) for level in LEVELS]
    return assembled("now", report().setup, levels, stopped="16 in flight gave +0.1% over 8")


def test_a_recommendation_follows_from_the_levels() -> None:
    """The smallest level near the plateau, and how it came about."""
    found = put_together()
    assert (found.recommended_concurrency, found.client_bound) == (8, False)
    assert found.knee == "8 in flight give 800.0 of about 800.5 output tokens/s"
    assert found.warnings == ()


def test_a_client_at_its_limit_is_called_one() -> None:
    """In words that say what it wanted, and that the server can do more."""
    client = msgspec.structs.replace(LEVELS[0].client, bound=True, wanted_share=0.97, cpu_share=0.95)
    found = put_together(client=client)
    assert found.client_bound
    assert found.warnings[0].startswith(
        "client-bound: this client wanted 97% of a core and got 95% (one process"
    )


def test_failures_and_guessed_tokens_are_told() -> None:
    """Before anybody believes the numbers."""
    warnings = put_together(errors={"timeout": 2}, tokens_estimated=True, notes=("odd",)).warnings
    assert warnings[0] == "6 requests failed (timeout); they count in no rate"
    assert "pieces of text were counted" in warnings[1]
    assert warnings[2] == "4 in flight: odd"
