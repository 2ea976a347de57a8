"""What a server means when it refuses a request: too long, filtered, or wrong for every record alike.

Servers agree on the status (400, some 422) and on nothing else, so codes are looked at first and words next.
The shapes are those of vLLM, OpenAI, Azure, llama.cpp, llama-cpp-python, TGI, Ollama and SGLang; the recorded
ones are in ``tests/contract/replies``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import orjson

__all__ = ["RefusalReason", "refusal_reason"]

RefusalReason: TypeAlias = Literal["context_length", "content_filter", "bad_parameter", "request_refused"]

_CODES: dict[str, RefusalReason] = {
    "context_length_exceeded": "context_length",
    "exceed_context_size_error": "context_length",
    "string_above_max_length": "context_length",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "responsibleaipolicyviolation": "content_filter",
    "unknown_parameter": "bad_parameter",
    "unsupported_parameter": "bad_parameter",
    "unsupported_value": "bad_parameter",
    "extra_forbidden": "bad_parameter",
}
_TOO_LONG = re.compile(
    r"maximum context length|model's context length|maximum model length|context[ _]length|context window"
    r"|available context size|prompt (?:is )?too long|(?:`inputs`|input) (?:must have|length)"
    r"|`inputs` tokens \+ `max_new_tokens`|(?:maximum|max) (?:input|prompt) length|max_model_len"
    r"|max_tokens must be at least 1, got -",  # vLLM's word for a prompt that leaves no room at all
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content (?:management|filter\w*|usage) polic|content[ _]filter|safety system|flagged as", re.IGNORECASE
)
_WRONG_FOR_ALL = re.compile(
    r"extra inputs are not permitted|unexpected keyword argument"
    r"|(?:unknown|unrecognized|unsupported|unexpected|invalid) (?:request )?(?:parameter|argument|field)"
    r"|(?:parameter|argument|option)s? (?:\S+ )?(?:is|are) not (?:supported|allowed|permitted)"
    r"|validation error: `(?!inputs)\w+` must be",  # TGI
    re.IGNORECASE,
)
_OF_THE_RECORD = frozenset(("prompt", "messages", "input", "inputs", "content", "input_tokens"))
_ECHOES = frozenset(("input", "ctx", "url"))  # FastAPI gives back what it was sent, whatever words that holds


def refusal_reason(status: int, body: bytes) -> RefusalReason:
    """Why a server refuses a request, from its whole reply.

    Returns:
        ``context_length``: prompt and ``max_tokens`` are more than the model takes. Also when the status
        says something else (llama.cpp and llama-cpp-python have sent 500 for it): asking again is no use.
        ``content_filter``: a filter does not let this prompt through; likewise.
        ``bad_parameter``: a 400 or 422 about a parameter that all requests of a block have.
        ``request_refused``: anything else.
    """
    try:
        facts = list(_facts(orjson.loads(body)))
    except orjson.JSONDecodeError:
        facts = [("", body[:4096].decode("utf-8", "replace"))]
    for _, value in facts:
        found = _CODES.get(value.lower())
        if found is not None and (found != "bad_parameter" or status in {400, 422}):
            return found
    words = " ".join(value for _, value in facts)
    if status in {400, 422} and _WRONG_FOR_ALL.search(words):
        return "bad_parameter"
    if _TOO_LONG.search(words):
        return "context_length"
    told = any(key for key, _ in facts)  # as JSON; a page with such words comes from some proxy
    if told and status in {400, 403, 422} and _FILTERED.search(words):
        return "content_filter"
    return "bad_parameter" if status in {400, 422} and _names_parameter(facts) else "request_refused"


def _facts(data: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """All texts of an error body with the key that they stand under, outer ones first."""
    if isinstance(data, str):
        yield key, data
    elif depth < 6 and isinstance(data, dict):
        for name, value in data.items():
            if name not in _ECHOES:
                yield from _facts(value, str(name), depth + 1)
    elif depth < 6 and isinstance(data, list):
        for value in data:
            yield from _facts(value, key, depth + 1)


def _names_parameter(facts: list[tuple[str, str]]) -> bool:
    """Whether ``param``, or FastAPI's ``loc``, names something else than the record's own text."""
    named = [value for key, value in facts if key in {"param", "loc"} and value not in {"", "body"}]
    return bool(named) and not any(re.split(r"[.\[]", name)[0] in _OF_THE_RECORD for name in named)
