"""``gen_kwargs`` of a block: how the teacher is to answer, typed, and as the parameters of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec

from ..abc import BlockConfig, Context
from ..config.decode import decode_struct, shown
from ..config.settings import DEFAULT_MAX_TOKENS
from ..config.yaml import Document
from ..errors import ConfigError, Problem

__all__ = ["GenKwargs", "asks_logprobs", "decode_config", "request_params"]

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]

MAX_TOKENS_BLOCK = "gen_knowledge"  # the one block that settings.max_num_tokens is meant for
NOT_IN_BODY = ("max_tokens", "messages", "n", "prompt", "stream")
MAPPINGS = ("batch_kwargs", "gen_kwargs", "parser_kwargs")

C = TypeVar("C", bound=BlockConfig)


class GenKwargs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request parameters by the names of the OpenAI and vLLM APIs; what is not given is not sent.

    Attributes:
        model: the model to ask, whatever the settings and the block say.
        n: how many choices a call gives; ``scaled`` is the run's number of instructions.
        extra_body: whatever else the server takes; merged into the request last.
    """

    model: str | None = None
    temperature: float = 0.0
    max_tokens: int = DEFAULT_MAX_TOKENS
    n: Count | Literal["scaled"] = 1
    seed: int | None = None
    stop: str | list[str] | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str | int, float] | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    user: str | None = None
    response_format: dict[str, Any] | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    length_penalty: float | None = None
    min_tokens: int | None = None
    ignore_eos: bool | None = None
    stop_token_ids: list[int] | None = None
    bad_words: list[str] | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    add_special_tokens: bool | None = None
    truncate_prompt_tokens: int | None = None
    structured_outputs: dict[str, Any] | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    priority: int | None = None
    extra_body: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Refuse in ``extra_body`` what would change the shape of the request or of its reply."""
        for key in NOT_IN_BODY:
            if key in self.extra_body:
                raise ValueError(f"extra_body cannot hold {key!r}; the block decides it")


def request_params(kwargs: GenKwargs, model: str, context: Context, *, capped: bool = True) -> dict[str, Any]:
    """The parameters of a block's requests, in the order in which they are sent.

    A block named ``gen_knowledge`` takes ``settings.max_num_tokens`` if that is set to something else than
    its default; ``capped=False`` is for blocks that never do.

    Raises:
        ConfigError: ``n`` is ``scaled`` and the settings have no number of instructions.
    """
    given = {key: value for key, value in msgspec.structs.asdict(kwargs).items() if value is not None}
    extra: dict[str, Any] = given.pop("extra_body")
    n = given.pop("n")
    if n == "scaled":
        n = context.settings.num_instructions
        if not n:
            raise ConfigError(
                f"{context.name}: gen_kwargs.n is scaled, but the number of instructions is not set"
            )
    cap = context.settings.max_num_tokens
    if capped and context.name == MAX_TOKENS_BLOCK and cap not in {None, DEFAULT_MAX_TOKENS}:
        given["max_tokens"] = cap
    if "logit_bias" in given:
        given["logit_bias"] = {str(token): bias for token, bias in given["logit_bias"].items()}
    given.pop("model", None)
    first = {"model": model, "temperature": given.pop("temperature"), "max_tokens": given.pop("max_tokens")}
    several = {"n": n} if n > 1 else {}
    return {**first, **several, **given, **extra}


def asks_logprobs(kwargs: GenKwargs) -> bool:
    """Whether replies will hold log probabilities; for a completions API 0 asks for them, false does not."""
    wanted = kwargs.extra_body.get("logprobs", kwargs.logprobs)
    return wanted is not None and wanted is not False


def decode_config(
    document: Document, path: str, data: Any, struct: type[C], problems: list[Problem]
) -> C | None:
    """The ``config`` of a block that asks the teacher; a null mapping is an empty one.

    Mistakes get the words that fit: what may stand for ``n``, and where unknown request parameters go.
    """
    if isinstance(data, Mapping):
        data = {key: value for key, value in data.items() if value is not None or key not in MAPPINGS}
    before = len(problems)
    config = decode_struct(document, path, data, struct, problems)
    for index, problem in enumerate(problems[before:], before):
        problems[index] = _reworded(problem, f"{path}.gen_kwargs", data)
    return config


def _reworded(problem: Problem, gen_kwargs: str, data: Any) -> Problem:
    message = problem.message
    if problem.path == f"{gen_kwargs}.n":
        message = f'expected a whole number from 1, or "scaled", got {shown(data["gen_kwargs"]["n"])}'
    elif problem.path.startswith(f"{gen_kwargs}.") and message.startswith("unknown key"):
        hint = "anything else that the server takes goes under extra_body"
        message = f"{message.partition('; known keys')[0].rstrip('?')}; {hint}"
    return msgspec.structs.replace(problem, message=message)
