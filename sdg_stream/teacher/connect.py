"""Connecting: look at the endpoint before the first call, so that no token is bought for a mistake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from ..abc import Api, Backend, CallShape, Request
from ..config.decode import nearest
from ..errors import AttemptError, BadReply, ConfigError, RequestRefused, TeacherUnusable
from ..events import EventHook, Notice
from .client import Endpoint, TeacherClient
from .http import AiohttpBackend
from .retry import RetryPolicy
from .wire import decode_models, decode_reply, encode_request

__all__ = ["DEFAULT_URL", "connect"]

DEFAULT_URL = "http://localhost:8000/v1"
PROBE_SECONDS = 60.0


@asynccontextmanager
async def connect(
    url: str | Sequence[str] = DEFAULT_URL,
    *,
    model: str | None = None,
    api: Literal["auto", "completions", "chat"] = "auto",
    api_key: str | None = None,
    concurrency: int = 64,
    timeout: float = 600.0,
    max_attempts: int = 6,
    backend: Backend | None = None,
    hook: EventHook | None = None,
) -> AsyncIterator[TeacherClient]:
    """A teacher behind one or several OpenAI-compatible endpoints, closed at the end of the block.

    Args:
        url: base URL of the API, up to and with ``/v1``; several for replicas that serve the same model.
        model: the model to ask when a block names none; None takes the only one that the endpoint lists.
        api: ``completions`` sends prompts rendered here, ``chat`` sends them as one user message for the
            server's own template; ``auto`` asks the endpoint once and says which it took.
        api_key: sent as a bearer token; never written anywhere.
        concurrency: how many sequences are in flight at most.
        timeout: seconds for a call's first attempt, from its admission on; later attempts get more.
        max_attempts: attempts a call may take.
        backend: another wire than aiohttp.
        hook: told which API and model were taken.

    Raises:
        ConfigError: an argument is wrong.
        TeacherUnusable: no server, no such model, a key that is refused.
    """
    urls = [url] if isinstance(url, str) else list(url)
    endpoints = [Endpoint(_checked(one)) for one in urls]
    if not endpoints or concurrency < 1 or max_attempts < 1 or timeout <= 0:
        raise ConfigError(
            "connect needs a URL, concurrency and max_attempts of at least 1, and a timeout > 0"
        )
    client = TeacherClient(
        backend or AiohttpBackend(),
        endpoints,
        model=model or "",
        concurrency=concurrency,
        policy=RetryPolicy(timeout=timeout, max_attempts=max_attempts),
        headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
        secrets=[api_key] if api_key else [],
    )
    try:
        for endpoint in endpoints:
            client.models = await _models(client, endpoint)
            client.model = _chosen(client.model, client.models, endpoint.url)
        await _look(client, endpoints[0], api, hook)
        yield client
    finally:
        await client.aclose()


def _checked(url: str) -> str:
    """The URL without what may be secret in it; a mistake in it is told here."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{url!r} is not the URL of an endpoint; one looks like {DEFAULT_URL}")
    if parts.username or parts.password:
        raise ConfigError(
            "an endpoint's URL must not hold a user name or password; use the API key's variable"
        )
    return urlunsplit(parts._replace(query="", fragment=""))


async def _models(client: TeacherClient, endpoint: Endpoint) -> tuple[str, ...]:
    """The names of an endpoint's models; empty if it has no list of them."""
    try:
        reply = await client.get(endpoint, "/models", PROBE_SECONDS)
        if reply.status == 200:
            return tuple(decode_models(reply.body))
        error: AttemptError = client.failure(reply)
    except BadReply as caught:
        error = caught
    except AttemptError as caught:
        raise TeacherUnusable(
            f"no teacher at {endpoint.url}: {caught.message}. Start a server there, name another with "
            "--endpoint-url, or try --simulate"
        ) from caught
    if isinstance(error, RequestRefused) and error.status in {404, 405}:
        return ()
    if isinstance(error, RequestRefused) and error.status in {401, 403}:
        raise TeacherUnusable(
            f"{endpoint.url} does not accept the API key ({error.message}). Set it in the variable that "
            "--api-key-env names (default OPENAI_API_KEY)"
        )
    raise TeacherUnusable(f"{endpoint.url}/models answered {error.message}")


def _chosen(model: str, models: tuple[str, ...], url: str) -> str:
    """The model to ask by default, checked against what the endpoint lists."""
    if not models:
        return model
    if model:
        require_model(model, models, url)
        return model
    return models[0] if len(models) == 1 else ""


def require_model(model: str, models: Sequence[str], url: str) -> None:
    """Raise TeacherUnusable if an endpoint that lists its models does not list this one."""
    if not models or model in models:
        return
    close = nearest(model, models)
    hint = f" Did you mean {close!r}?" if close else ""
    listed = ", ".join(models[:20]) + (", ..." if len(models) > 20 else "")
    raise TeacherUnusable(f"{url} has no model {model!r}.{hint} It has: {listed}")


async def _look(client: TeacherClient, endpoint: Endpoint, wanted: str, hook: EventHook | None) -> None:
    """Learn from one tiny request which API the endpoint has, and whether it honours ``n``."""
    candidates: tuple[Api, ...] = ("completions", "chat")
    if wanted != "auto":
        candidates = tuple(api for api in candidates if api == wanted)
    for api in candidates:
        honours_n = await _ask_once(client, endpoint, api)
        if honours_n is None:
            continue
        client.api, client.honours_n = api, honours_n
        if hook is not None:
            model = client.model or "the models that the blocks name"
            words = f"asking {model} at {endpoint.url} through the {api} API"
            if not honours_n:
                words += "; it does not honour n, so choices are asked one by one"
            hook(Notice(code="api", message=words))
        return
    raise TeacherUnusable(
        f"{endpoint.url} has no {' and no '.join(candidates)} API. Check that the URL ends where the API "
        "begins, usually in /v1, and the model's name"
    )


async def _ask_once(client: TeacherClient, endpoint: Endpoint, api: Api) -> bool | None:
    """Whether an API honours ``n``; None if the endpoint does not have it.

    A server that is busy or refuses this request still has the API; only "not found" says otherwise.
    """
    model = client.model or (client.models[0] if client.models else "")
    shape = CallShape.make(api, {"model": model, "max_tokens": 1, "n": 2, "temperature": 1.0})
    try:
        reply = await client.post(endpoint, shape, encode_request(Request(shape, "test")), PROBE_SECONDS)
        return len(decode_reply(reply, shape).choices) == 2
    except BadReply:
        return None
    except RequestRefused as error:
        if error.status in {401, 403}:
            raise TeacherUnusable(f"{endpoint.url} refuses this API key: {error.message}") from error
        return None if error.status in {404, 405} else False
    except AttemptError:
        return False
