"""Secrets in what servers say."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdg_stream.abc import HttpReply
from sdg_stream.errors import BadReply, SdgStreamError, TeacherUnusable
from sdg_stream.teacher.redaction import Secrets, proxy_secrets, redacting, without

KEY = "sk-a/b+c=0123456789abcdef"
FORMS = [
    KEY,
    quote(KEY, safe=""),
    quote(KEY, safe="").lower(),
    json.dumps(KEY)[1:-1].replace("/", "\\/"),
    KEY.replace("+", "\\u002B").replace("=", "\\u003d"),
    html.escape(KEY).replace("=", "&#x3D;").replace("+", "&#43;"),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_key_in_any_form_is_replaced(form: str) -> None:
    """As it is, in URLs, in JSON with what different encoders escape, in HTML; in bodies and in words."""
    secrets = Secrets([KEY])
    assert secrets.out_of_body(f'{{"got": "Bearer {form}!"}}'.encode()) == b'{"got": "Bearer [redacted]!"}'
    assert secrets.out_of(f"got {form}.") == "got [redacted]."


def test_a_body_without_a_secret_stays_the_same_object() -> None:
    """Nothing is copied, also where the plain part of a key stands without the rest."""
    secrets = Secrets([KEY, "another-secret-1"])
    for body in (b"nothing", b"0123456789abcdef"):
        assert secrets.out_of_body(body) is body


@pytest.mark.parametrize("word", ["", "x", "EMPTY", "none", "sk-1234", "password", "ollamaserver"])
def test_what_rows_may_well_hold_is_no_secret(word: str) -> None:
    """A short key, or one that is a word, would change rows and guard nothing; words on screens lose it."""
    body = f'{{"text": "{word}"}}'.encode()
    assert Secrets([word]).out_of_body(body) is body
    assert without("it says: pass-me", ["pass-me", ""]) == "it says: [redacted]"


@given(st.integers(0, len(KEY)), st.integers(0, 3))
def test_a_key_that_is_cut_off_does_not_show(cut: int, more: int) -> None:
    """Of a message that ends inside a key at most its first seven characters remain."""
    words = Secrets([KEY]).out_of("x" * more + KEY[:cut])
    assert KEY[:8] not in words
    assert words.startswith("x" * more)


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=200),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_secret_survives(key: str, before: str, after: str) -> None:
    """Whatever characters a key has and whatever stands around it."""
    secrets = Secrets([key])
    assert key.encode() not in secrets.out_of_body(f"{before}{key}{after}".encode("utf-8", "surrogatepass"))
    assert key not in secrets.out_of(before + key + after)


def test_a_long_key_is_no_trouble() -> None:
    """A token of 4,000 characters, cut at any of some places."""
    key = ".".join("eyJhbGciOiJ" + "aB3-_" * 260 for _ in range(3))
    secrets = Secrets([key])
    assert secrets.out_of_body(b"<" + key.encode() + b">") == b"<[redacted]>"
    assert secrets.out_of(f"cut: {key[:3000]}") == "cut: [redacted]"


def test_a_proxys_url_holds_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password, quoted or not, and the header that it is sent in; of the environment too when asked."""
    words = f"user:p%40ss-word1 p@ss-word1 {base64.b64encode(b'user:p@ss-word1').decode()} user"
    secrets = proxy_secrets("http://user:p%40ss-word1@proxy:3128")
    assert Secrets(secrets).out_of(words) == "[redacted] [redacted] [redacted] user"
    assert proxy_secrets("http://proxy:3128") == proxy_secrets(None) == proxy_secrets("http://[") == ()
    assert "token-token-1" in proxy_secrets("http://token-token-1@proxy")
    monkeypatch.setenv("https_proxy", "http://me:secret-42@proxy")
    assert "secret-42" in proxy_secrets("auto")


class Backend:
    """A backend that says one thing, or fails with it."""

    def __init__(self, said: bytes | SdgStreamError) -> None:
        self.said = said
        self.closed = False

    async def send(
        self, method: str, url: str, body: bytes | None, *, headers: Mapping[str, str], timeout: float
    ) -> HttpReply:
        """The one thing."""
        if isinstance(self.said, SdgStreamError):
            raise self.said
        return HttpReply(200, {}, self.said)

    async def aclose(self) -> None:
        """Remembers it."""
        self.closed = True


@pytest.mark.anyio
async def test_a_backends_replies_and_errors_are_looked_through() -> None:
    """Bodies, and the words of both kinds of errors that it raises; without secrets it stays itself."""
    backend = Backend(f'"{KEY}"'.encode())
    guarded = redacting(backend, [KEY])
    reply = await guarded.send("GET", "http://x", None, headers={}, timeout=1)
    assert reply.body == b'"[redacted]"'
    for error in (BadReply(f"not {KEY}", status=200), TeacherUnusable(f"not {KEY}")):
        backend.said = error
        with pytest.raises(SdgStreamError, match=r"^not \[redacted\]$") as caught:
            await guarded.send("GET", "http://x", None, headers={}, timeout=1)
        assert KEY not in repr(caught.value) + str(getattr(caught.value, "message", ""))
    await guarded.aclose()
    assert backend.closed
    assert redacting(backend, []) is redacting(backend, [""]) is backend
