"""What this process must not say: the keys and passwords that its options brought.

None of our own words hold them, but for the command as it was typed. What libraries log, and the traceback of
somebody's bug, may: all of these are looked through on their way out.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

__all__ = ["hide", "secrets_of_command", "without_hidden"]

_hidden: list[str] = []  # of the process, as its standard error is
_USERINFO = re.compile(r"//[^/\s@]+@")
_KEY_OPTION = re.compile(r"-\S*(?:key|token|password|secret)", re.IGNORECASE)
_KEY_VALUE = re.compile(r"\S*(?:key|token|password|secret)=(.+)", re.IGNORECASE)


def hide(options: Mapping[str, Any]) -> None:
    """Remember the secrets among a command's options, and no others."""
    from ..teacher.redaction import proxy_secrets

    variable = options.get("api_key_env")
    found = [options.get("api_key"), os.environ.get(variable) if variable else None]
    found += proxy_secrets(options.get("proxy"))
    found += _of_urls(options.get("endpoint_url") or ())
    found += secrets_of_command(_words(options.get("serve") or ""))
    _hidden[:] = [secret.strip() for secret in found if secret]


def without_hidden(text: str) -> str:
    """A text without them, and without what stands before the host in any URL."""
    text = _USERINFO.sub("//[redacted]@", text)
    if not _hidden:
        return text
    from ..teacher.redaction import Secrets

    return Secrets(_hidden).out_of(text)


def _of_urls(urls: Iterable[str]) -> Iterator[str]:
    """What stands before an ``@`` or behind a ``?``: neither belongs into an endpoint's URL."""
    for url in urls:
        before, at, _ = url.rpartition("@")
        if at:
            userinfo = before.partition("//")[2] or before.rpartition("/")[2] or before
            yield from (userinfo, userinfo.partition(":")[2])
        for part in url.partition("?")[2].split("&"):
            yield part.partition("=")[2]


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def secrets_of_command(words: Sequence[str]) -> Iterator[str]:
    """Values of options and variables of a server's command whose names sound like secrets."""
    for word, following in pairwise([*words, ""]):
        if _KEY_OPTION.fullmatch(word):
            yield following
        elif found := _KEY_VALUE.fullmatch(word):
            yield found[1]
