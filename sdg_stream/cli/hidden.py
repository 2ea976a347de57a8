"""What this process must not say: the key and the passwords that its options brought.

None of our own words hold them. What libraries log, and the traceback of somebody's bug, may: so both are
looked through on their way out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["hide", "without_hidden"]

_hidden: list[str] = []  # of the process, as its standard error is


def hide(options: Mapping[str, Any]) -> None:
    """Remember the secrets among a command's options."""
    from ..teacher.redaction import proxy_secrets

    variable = options.get("api_key_env")
    found = [options.get("api_key"), os.environ.get(variable) if variable else None]
    _hidden[:] = [secret.strip() for secret in found if secret]
    _hidden.extend(proxy_secrets(options.get("proxy")))


def without_hidden(text: str) -> str:
    """A text without them."""
    if not _hidden:
        return text
    from ..teacher.redaction import Secrets

    return Secrets(_hidden).out_of(text)
