"""What a simulated teacher is like: one frozen struct, with the faults it makes on purpose.

The defaults describe a mid-sized model on one large accelerator, so that the first thing a person sees
has realistic proportions; tests and benchmarks choose another ``latency``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from ..config.decode import decode_struct
from ..config.yaml import Document, load_yaml, parse_yaml
from ..errors import ConfigError, Problem

__all__ = ["Api", "Fault", "FaultKind", "FaultRule", "Latency", "SimulatorSettings", "load_faults"]

Api = Literal["completions", "chat"]
Latency = Literal["tokens", "fixed", "lognormal", "zero"]
FaultKind = Literal[
    "status",
    "reset",
    "hang",
    "html",
    "slow",
    "drip",
    "truncated",
    "torn_json",
    "bad_encoding",
    "wrong_type",
    "fewer_choices",
    "extra_choice",
    "shuffled",
    "no_choices",
    "null_text",
    "empty_text",
    "reasoning_only",
    "content_filter",
    "no_usage",
    "no_done",
]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to go wrong.

    Instead of a reply: ``status`` (that status with vLLM's error body), ``reset`` (the connection is
    reset), ``hang`` (nothing is sent until the client goes), ``html`` (a proxy's page with 200).

    With a reply that is made, and waited for, as usual: ``slow`` (``seconds`` later), ``drip`` (in small
    pieces over ``seconds``), ``truncated`` (the connection closes halfway), ``torn_json`` (half of the
    JSON, sent as if whole), ``bad_encoding`` (not UTF-8), ``wrong_type`` (as text/plain),
    ``fewer_choices``, ``extra_choice``, ``shuffled`` (choices out of order, each with its right index),
    ``no_choices``, ``null_text``, ``empty_text``, ``reasoning_only`` (the text stands in ``reasoning``),
    ``content_filter``, ``no_usage``, ``no_done`` (a stream without its end mark).

    Attributes:
        kind: see above.
        status: HTTP status of ``status``.
        message: the server's words; a plausible text when empty.
        retry_after: value of the Retry-After header as it is, sound or not.
        headers: further headers of ``status``.
        seconds: length of ``slow`` and ``drip``.
    """

    kind: FaultKind = "status"
    status: int = 500
    message: str = ""
    retry_after: str | int | float | None = None
    headers: dict[str, str] = {}
    seconds: float = 0.0


class FaultRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a fault happens. Of several rules the first that applies wins.

    Attributes:
        fault: what happens.
        match: the number of a request (from 1, in order of arrival), a first and last number, or a text
            that the prompt contains; without it every request is meant.
        rate: share of the matching requests that fail. Chosen by prompt and attempt, not by time, so the
            same prompts fail whatever the order of arrival.
        attempts: only a prompt's first so many requests fail; later ones get through.
    """

    fault: Fault
    match: int | tuple[int, int] | str | None = None
    rate: float = 1.0
    attempts: int | None = None


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides how a simulated teacher behaves.

    Attributes:
        model: the one model that ``/v1/models`` lists and requests may name.
        apis: which of the two endpoints exist; the other one is a 404.
        seed: another seed, other replies, other service times, other faults.
        latency: ``tokens`` (prompt read at ``prefill_tokens_per_s``, reply written at
            ``decode_tokens_per_s``), ``fixed`` (each sequence takes ``latency_seconds``), ``lognormal``
            (mean ``latency_seconds``, shape ``latency_sigma``) or ``zero`` (no slots, answered at once).
        slots: sequences decoded at once; a request with n choices takes n.
        prefill_tokens_per_s: of the whole server, one prompt after the other.
        decode_tokens_per_s: of each slot.
        max_model_len: tokens of prompt and reply together; more is a 400.
        kv_cache_tokens: tokens that fit in the cache, for prefixes and running sequences.
        reply: every choice's text, instead of one made from the prompt.
        max_waiting: sequences in the queue beyond which requests get a 503; unbounded by default, as in vLLM.
        requests_per_second: more get a 429 with Retry-After, as from a hosted service.
        api_key: required as bearer token when given.
        poison: a prompt that contains this text is answered with a 400.
        faults: rules, the first that applies wins.
        keepalive_seconds: idle connections are closed after it, as vLLM does after 5 s.
    """

    model: str = "simulated-teacher"
    apis: tuple[Api, ...] = ("completions", "chat")
    seed: int = 0
    latency: Latency = "tokens"
    latency_seconds: float = 0.2
    latency_sigma: float = 0.8
    slots: int = 64
    prefill_tokens_per_s: float = 20_000.0
    decode_tokens_per_s: float = 100.0
    max_model_len: int = 32_768
    kv_cache_tokens: int = 500_000
    reply: str | None = None
    max_waiting: int | None = None
    requests_per_second: float | None = None
    api_key: str | None = None
    poison: str | None = None
    faults: tuple[FaultRule, ...] = ()
    keepalive_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name in ("slots", "prefill_tokens_per_s", "decode_tokens_per_s", "max_model_len"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.latency_seconds < 0 or self.latency_sigma < 0:
            raise ValueError("latency_seconds and latency_sigma must not be below 0")


def load_faults(source: str | Path) -> tuple[FaultRule, ...]:
    """Read fault rules from YAML or JSON: the text itself, or a file's path.

    The document is a list of rules. ``fault`` may also be just a kind, or just a status:
    ``[{match: 3, fault: reset}, {rate: 0.02, fault: 503}]``.

    Raises:
        ConfigError: the document cannot be read, or is not such a list; all mistakes are named.
    """
    document = load_yaml(source) if isinstance(source, Path) else parse_yaml(source, "<faults>")
    if not isinstance(document.data, list):
        raise ConfigError(document.problem("$", "expected a list of fault rules"))
    problems: list[Problem] = []
    rules = [_rule(document, f"$[{index}]", item, problems) for index, item in enumerate(document.data)]
    if problems:
        raise ConfigError(problems)
    return tuple(rule for rule in rules if rule is not None)


def _rule(document: Document, path: str, item: Any, problems: list[Problem]) -> FaultRule | None:
    if isinstance(item, dict):
        fault = item.get("fault")
        if isinstance(fault, int):
            item = {**item, "fault": {"kind": "status", "status": fault}}
        elif isinstance(fault, str):
            item = {**item, "fault": {"kind": fault}}
    return decode_struct(document, path, item, FaultRule, problems)
