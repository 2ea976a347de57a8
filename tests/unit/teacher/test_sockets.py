"""Sockets: probes on silent connections, and enough files for all of them."""

from __future__ import annotations

import resource
import socket
import sys
from collections.abc import Iterator

import pytest

from sdg_stream.errors import ConfigError
from sdg_stream.teacher import sockets
from sdg_stream.teacher.sockets import ensure_sockets, kept_alive, most_sockets


@pytest.fixture
def low_limit() -> Iterator[int]:
    """A soft limit on open files far below the hard one; put back afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    yield low
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_row_08_silent_connections_are_probed() -> None:
    """Rows 7 and 8: keepalive is on, first probe after a minute; a dead peer is noticed within 120 s."""
    with kept_alive((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "linux":
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 30
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_row_34_the_soft_limit_is_raised_to_what_is_needed(low_limit: int) -> None:
    """Row 34: more connections than the soft limit allows raise it, fewer leave it alone."""
    ensure_sockets(50)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == low_limit
    ensure_sockets(500)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 500 < soft < 700


def test_row_34_more_than_the_hard_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 34: the mistake is told with the number that fits."""
    monkeypatch.setattr(sockets, "_limits", lambda: (64, 64))
    monkeypatch.setattr(sockets, "_open_files", lambda: 10)
    assert most_sockets() == 64 - 10 - 32
    with pytest.raises(ConfigError, match=r"512 calls.*--concurrency 22\b"):
        ensure_sockets(512)


def test_no_limits_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no limits, or no hard one, nothing is refused."""
    monkeypatch.setattr(sockets, "_limits", lambda: None)
    ensure_sockets(10**6)
    monkeypatch.setattr(sockets, "_limits", lambda: (64, -1))
    raised: list[int] = []
    monkeypatch.setattr(sockets, "_raise_to", lambda files, hard: raised.append(files))
    assert most_sockets() is None
    ensure_sockets(10**6)
    assert raised[0] > 10**6
