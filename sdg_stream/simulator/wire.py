"""What comes over the wire: requests as vLLM reads them, refused with the bodies that vLLM sends.

Source: vLLM's OpenAI-compatible server (``entrypoints/openai/protocol.py`` and its error handlers). Keys
that are not named here are ignored, as there.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec
import orjson

from .prompt_text import join_messages, token_count, unwrap
from .settings import SimulatorSettings

__all__ = ["Asked", "Refusal", "error_body", "read_chat", "read_completion"]

COMPLETION_TOKENS = 16  # the legacy endpoint's default for max_tokens

_ERROR_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}


class Refusal(Exception):
    """A request that gets an error instead of a reply."""

    def __init__(
        self, status: int, message: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message, param)
        self.headers = headers or {}


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _JsonSchema(msgspec.Struct):
    name: str = ""
    schema: Any = None


class _ResponseFormat(msgspec.Struct):
    type: str = "text"
    json_schema: _JsonSchema | None = None


class _StructuredOutputs(msgspec.Struct):
    choice: list[str] | None = None
    json: Any = None


class _Sampling(msgspec.Struct):
    model: str | None = None
    n: int | None = 1
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    guided_choice: list[str] | None = None
    guided_json: Any = None
    structured_outputs: _StructuredOutputs | None = None
    response_format: _ResponseFormat | None = None


class _Completion(_Sampling):
    prompt: str | list[Any] | None = None
    logprobs: int | None = None
    echo: bool = False


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _Chat(_Sampling):
    messages: list[_Message] = []
    max_completion_tokens: int | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request, the same for both endpoints.

    Attributes:
        chat: asked for at the chat endpoint.
        sent: the prompts as they were sent; a chat is one prompt.
        prompts: the same without chat templates; replies are made from these.
        max_tokens: per choice; what the context leaves when the client does not say.
        stop: texts before which a reply ends.
        choices: the reply must be one of these, if there are any.
        schema: JSON schema that the reply must be an instance of, if given.
        logprobs: alternatives wanted for each token; None when no log probabilities are wanted.
    """

    chat: bool
    sent: list[str]
    prompts: list[str]
    n: int
    max_tokens: int
    temperature: float
    seed: int | None
    stop: tuple[str, ...]
    stream: bool
    stream_usage: bool
    choices: list[str] | None
    schema: Any
    logprobs: int | None
    echo: bool = False


_completion_decoder = msgspec.json.Decoder(_Completion)
_chat_decoder = msgspec.json.Decoder(_Chat)


def read_completion(body: bytes, settings: SimulatorSettings) -> Asked:
    """Read the body of ``POST /v1/completions``.

    Raises:
        Refusal: with the error that vLLM would send.
    """
    try:
        request = _completion_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse(error)
    prompt = request.prompt
    sent = [prompt] if isinstance(prompt, str) else (prompt or [])
    if not sent or not all(isinstance(text, str) for text in sent):
        raise Refusal(
            400, "prompt must be text or a list of texts: the simulation has no tokenizer", "prompt"
        )
    wanted = COMPLETION_TOKENS if request.max_tokens is None else request.max_tokens
    return _asked(request, settings, sent, wanted, request.logprobs, echo=request.echo)


def read_chat(body: bytes, settings: SimulatorSettings) -> Asked:
    """Read the body of ``POST /v1/chat/completions``.

    Raises:
        Refusal: with the error that vLLM would send.
    """
    try:
        request = _chat_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse(error)
    if not request.messages:
        raise Refusal(400, "messages must not be empty", "messages")
    prompt = join_messages(_content(message) for message in request.messages)
    wanted = request.max_completion_tokens if request.max_tokens is None else request.max_tokens
    logprobs = (request.top_logprobs or 0) if request.logprobs else None
    return _asked(request, settings, [prompt], wanted, logprobs, chat=True)


def _asked(
    request: _Sampling,
    settings: SimulatorSettings,
    sent: list[str],
    wanted: int | None,
    logprobs: int | None,
    *,
    chat: bool = False,
    echo: bool = False,
) -> Asked:
    if request.model is not None and request.model != settings.model:
        raise Refusal(404, f"The model `{request.model}` does not exist.", "model")
    n = 1 if request.n is None else request.n
    if n < 1:
        raise Refusal(400, f"n must be at least 1, got {n}.", "n")
    temperature = 1.0 if request.temperature is None else request.temperature
    if temperature < 0:
        raise Refusal(400, f"temperature must be non-negative, got {temperature}.", "temperature")
    choices, schema = _guide(request)
    stop = request.stop or ()
    return Asked(
        chat=chat,
        sent=sent,
        prompts=[unwrap(text) for text in sent],
        n=n,
        max_tokens=_room(settings, sent, wanted, "messages" if chat else "prompt"),
        temperature=temperature,
        seed=request.seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=bool(request.stream),
        stream_usage=bool(request.stream_options and request.stream_options.include_usage),
        choices=choices,
        schema=schema,
        logprobs=logprobs,
        echo=echo,
    )


def _room(settings: SimulatorSettings, sent: list[str], wanted: int | None, what: str) -> int:
    """Tokens that each choice may have; refuses what the model's context cannot hold."""
    longest = max(map(token_count, sent))
    room = settings.max_model_len - longest
    if wanted is None:
        wanted = max(room, 1)
    if wanted < 1:
        raise Refusal(400, f"max_tokens must be at least 1, got {wanted}.", "max_tokens")
    if wanted > room:
        raise Refusal(
            400,
            f"This model's maximum context length is {settings.max_model_len} tokens. However, you requested "
            f"{longest + wanted} tokens ({longest} in the {what}, {wanted} in the completion). "
            f"Please reduce the length of the {what} or completion.",
        )
    return wanted


def _guide(request: _Sampling) -> tuple[list[str] | None, Any]:
    """The choices and the JSON schema that the reply must obey, from any of their three spellings."""
    outputs = request.structured_outputs or _StructuredOutputs()
    choices = request.guided_choice or outputs.choice
    schema = request.guided_json if request.guided_json is not None else outputs.json
    form = request.response_format
    if schema is None and form is not None and form.type.startswith("json"):
        schema = form.json_schema.schema if form.json_schema else {"type": "object"}
    if isinstance(schema, str):
        try:
            schema = orjson.loads(schema)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"the JSON schema is not JSON: {error}") from error
    return choices, schema


def _content(message: _Message) -> str:
    if isinstance(message.content, list):
        return "\n".join(part.text for part in message.content)
    return message.content or ""


def _refuse(error: Exception) -> NoReturn:
    raise Refusal(400, f"the request body cannot be read: {error}") from error


def error_body(status: int, message: str, param: str | None = None) -> bytes:
    """The JSON of an error, in the shape that vLLM sends."""
    kind = _ERROR_TYPES.get(status, "BadRequestError" if status < 500 else "InternalServerError")
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": status}})
