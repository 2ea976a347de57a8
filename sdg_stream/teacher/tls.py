"""TLS: whom to trust, and what a failed handshake means. Verification cannot be turned off."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.tls import TLSAttribute

from ..errors import ConfigError

__all__ = ["inspect_certificate", "speaks_tls", "tls_context", "tls_trouble"]

_EXPIRED = 10  # verification results of OpenSSL, x509_vfy.h
_WRONG_NAMES = (62, 64)  # host name, address
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE")
_HANDSHAKE_SECONDS = 5.0
_HOW = "--ca-file FILE names the authorities to trust; verification cannot be turned off"


def tls_context(ca_file: str | Path | None = None) -> ssl.SSLContext:
    """The system's authorities, or, like curl's ``--cacert``, those of a PEM file instead; for HTTP/1.1.

    Raises:
        ConfigError: the file cannot be read or holds no certificates.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except ssl.SSLError as error:
        raise ConfigError(f"--ca-file {ca_file} holds no certificates in PEM format") from error
    except OSError as error:
        raise ConfigError(f"cannot read --ca-file {ca_file}: {error.strerror or error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def tls_trouble(error: Exception | None) -> str | None:
    """Why a handshake will never succeed, and what to do; None if it may succeed at another try."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{_verification(error)}; {_HOW}"
    if isinstance(error, ssl.CertificateError):
        return f"its certificate does not fit ({error}); {_HOW}"
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return f"it does not speak TLS: does the URL begin with http://? ({_HOW})"
    return None


def _verification(error: ssl.SSLCertVerificationError) -> str:
    words = error.verify_message
    if error.verify_code == _EXPIRED:
        return f"its certificate is out of date ({words}): renew it, or look at this machine's clock"
    if error.verify_code in _WRONG_NAMES:
        return f"its certificate is for another host ({words}): use the name that it was made for"
    return f"nobody who is trusted here signed its certificate ({words})"


async def inspect_certificate(host: str, port: int, context: ssl.SSLContext) -> str:
    """One handshake: the protocol's version and how long the certificate is valid.

    Raises:
        OSError: no connection, or the handshake failed (ssl.SSLError is one).
    """
    stream = await anyio.connect_tcp(
        host, port, ssl_context=context, tls_hostname=host, tls_standard_compatible=False
    )
    async with stream:
        facts = stream.extra_attributes
        certificate: Any = facts[TLSAttribute.peer_certificate]()
        version = facts[TLSAttribute.tls_version]()
    until = (certificate or {}).get("notAfter")
    return f"{version}, certificate valid until {until}" if until else str(version)


async def speaks_tls(host: str, port: int) -> bool:
    """Whether a port answers a TLS handshake, with whatever certificate."""
    try:
        with anyio.fail_after(_HANDSHAKE_SECONDS):
            await inspect_certificate(host, port, ssl.create_default_context())
    except ssl.SSLCertVerificationError:
        return True
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream):  # TimeoutError is an OSError
        return False
    return True
