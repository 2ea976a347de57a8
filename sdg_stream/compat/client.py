"""A client object of upstream's, read for what reaches the server; the object itself is never called."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from ..errors import ConfigError
from ..events import EventHook
from ..teacher.client import TeacherClient
from ..teacher.connect import connect

__all__ = ["connection"]

_TIMEOUT = 600.0  # seconds
_ATTEMPTS = 6


def connection(client: Any, model: str | None, hook: EventHook) -> AbstractAsyncContextManager[TeacherClient]:
    """The teacher that a client would ask.

    Args:
        client: an ``openai.OpenAI``, or anything with ``base_url`` and ``api_key``. A ``timeout`` counts as
            well, and ``max_retries`` where it is more than what is done here anyway; nothing else is read.
        model: the one to ask; None takes the only one that the server lists.
        hook: told what was found.

    Raises:
        ConfigError: it has no address. The key is in no message.
    """
    url = getattr(client, "base_url", None)
    if url is None or not str(url):
        raise ConfigError(
            f"client has no base_url, it is of type {type(client).__name__}; give an openai.OpenAI object, or"
            " one with base_url and api_key"
        )
    key = getattr(client, "api_key", None)
    return connect(
        str(url),
        model=model or None,
        api_key=key if isinstance(key, str) else None,
        timeout=_timeout(getattr(client, "timeout", None)),
        max_attempts=_attempts(getattr(client, "max_retries", None)),
        hook=hook,
    )


def _timeout(timeout: object) -> float:
    """Seconds; of an ``httpx.Timeout`` those that a reply may take."""
    seconds = getattr(timeout, "read", timeout)
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else _TIMEOUT


def _attempts(retries: object) -> int:
    return max(_ATTEMPTS, retries + 1) if isinstance(retries, int) else _ATTEMPTS
