"""What one endpoint is like, found out by a few cheap requests before the first call.

Nothing here is tried again for long: :mod:`.waiting` waits for a server that is starting, and a request that
meets a passing fault is repeated twice.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import anyio
import msgspec

from ..abc import Api, Backend, CallShape, HttpReply, Request
from ..errors import AttemptError, BadReply, ConfigError, ConnectFailed, RequestRefused, TeacherUnusable
from ..events import EventHook
from .metrics import read_metrics
from .redaction import Secrets, redacting
from .tls import inspect_certificate, speaks_tls
from .transport import split_url
from .waiting import PROBE_SECONDS, first_reply
from .wire import PATHS, decode_reply, encode_request, failure, server_words

__all__ = ["EndpointFacts", "ListedModel", "Probe", "checked_url", "split_name"]

_TRIES = 3
_PAUSE = 0.2  # seconds, doubling
_HANGS_UP = ("closed the connection", "connection failed", "not HTTP")  # words of both backends
_OWNERS = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "library": "Ollama",
    "sdg-stream-simulation": "simulated teacher",
}
_LENGTHS = ("max_model_len", "context_length", "context_window", "max_context_length")


class ListedModel(msgspec.Struct, frozen=True):
    """An entry of ``/models``; ``max_model_len`` is tokens of prompt and reply together, if the list says."""

    id: str
    max_model_len: int | None = None


class EndpointFacts(msgspec.Struct, kw_only=True):
    """One endpoint, as it was found.

    Attributes:
        url: where its API begins.
        name: of the pool that it belongs to; empty for the default one.
        problem: why it cannot be used and what to do; empty if it can.
        warnings: what is odd about it.
        server: the kind of server as far as it can be guessed, with its version.
        models: what it lists; ``lists_models`` is False if it has no list.
        apis: those that were asked for and are there.
        honours_n: for each API whether a request for two choices gets two, as far as it could be found out.
        list_prompts: whether several prompts may stand in one request; None if it was not asked.
        metrics: whether ``/metrics`` tells its load; ``metrics_url`` is where.
        rate_limits: headers that tell limits, by name in lower case.
        tls: protocol and validity of the certificate; empty without TLS or if it was not asked.
        round_trip: seconds of the quickest small request.
    """

    url: str
    name: str = ""
    problem: str = ""
    warnings: list[str] = []
    server: str = ""
    models: list[ListedModel] = []
    lists_models: bool = True
    apis: list[Api] = []
    honours_n: dict[Api, bool] = {}
    list_prompts: bool | None = None
    metrics: bool = False
    metrics_url: str = ""
    rate_limits: dict[str, str] = {}
    tls: str = ""
    round_trip: float | None = None

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the models that it lists."""
        return tuple(model.id for model in self.models)


class Probe:
    """Asks one endpoint; what it finds is in ``facts``.

    Args:
        backend: the wire.
        url: where the API begins, with ``name=`` before it for an endpoint of that pool.
        headers: of every request below ``url``.
        secrets: not to be repeated from the server's words.
        seconds: for one small request.
    """

    def __init__(
        self,
        backend: Backend,
        url: str,
        *,
        headers: Mapping[str, str],
        secrets: Sequence[str] = (),
        seconds: float = PROBE_SECONDS,
    ) -> None:
        name, url = split_name(url)
        self.facts = EndpointFacts(url=checked_url(url), name=name)
        self._backend = redacting(backend, secrets)
        self._headers = {"Content-Type": "application/json", **headers}
        self._secrets = tuple(secrets)
        self._hidden = Secrets(secrets)
        self._seconds = seconds
        self._absent: dict[Api, str] = {}

    # ------------------------------------------------------------ models

    async def list_models(self, wait_ready: float, hook: EventHook | None) -> None:
        """Wait for the endpoint and read its list of models.

        Raises:
            TeacherUnusable: it is not there, does not take the key, or is something else.
        """
        facts = self.facts
        reply = await first_reply(self._models, facts.url, wait_ready, hook, self._secrets)
        if reply.status in {404, 405}:
            facts.lists_models = False
            return
        if reply.status in {401, 403}:
            raise self._refused(failure(reply, self._secrets))
        if reply.status != 200:
            raise TeacherUnusable(f"{facts.url}/models answered {failure(reply, self._secrets).message}")
        facts.models, owner = _read_models(reply.body, facts.url, self._secrets)
        facts.server = _OWNERS.get(owner, "") or self._hidden.out_of(reply.headers.get("Server", ""))

    async def _models(self, seconds: float) -> HttpReply:
        try:
            return await self._get(self.facts.url + "/models", self._headers, seconds)
        except ConnectFailed as error:
            if await self._wants_tls(error):
                raise TeacherUnusable(
                    f"{self.facts.url} speaks TLS: its URL begins with https://. If its certificate is of an "
                    "authority of your own, --ca-file FILE names that"
                ) from error
            raise

    async def _wants_tls(self, error: ConnectFailed) -> bool:
        """Whether plain HTTP was spoken to a port of TLS: such a port hangs up, or answers gibberish."""
        parts = urlsplit(self.facts.url)
        if parts.scheme != "http" or not any(words in error.message for words in _HANGS_UP):
            return False
        return await speaks_tls(parts.hostname or "", parts.port or 80)

    # ------------------------------------------------------------ APIs

    async def try_api(self, api: Api, model: str) -> None:
        """See whether the endpoint has an API, and whether it honours ``n``, by one tiny request.

        Raises:
            TeacherUnusable: the key is refused.
        """
        facts = self.facts
        try:
            facts.honours_n[api] = await self._choices(api, model, "test", n=2) == 2
        except BadReply as error:
            self._absent[api] = error.message
            return
        except RequestRefused as error:
            if error.status in {404, 405, 501}:
                self._absent[api] = error.message
                return
            facts.honours_n[api] = False
            await self._without_n(api, model, error)
        except AttemptError as error:  # busy or failing, but there
            facts.warnings.append(f"the {api} API could not be tried: {error.message}")
        facts.apis.append(api)

    async def _without_n(self, api: Api, model: str, refused: RequestRefused) -> None:
        """Whether it was ``n`` that a request was refused for."""
        try:
            await self._choices(api, model, "test", n=1)
        except RequestRefused as error:
            self.facts.warnings.append(f"the {api} API refuses a minimal request: {error.message}")
        except AttemptError:
            self.facts.warnings.append(f"the {api} API refuses a request with n=2: {refused.message}")

    async def try_list(self, model: str) -> None:
        """See whether several prompts may stand in one completions request."""
        try:
            self.facts.list_prompts = await self._choices("completions", model, ["test", "test"], n=1) == 2
        except AttemptError:
            self.facts.list_prompts = False

    def no_api(self, wanted: Sequence[Api]) -> str:
        """Words for an endpoint that has none of the APIs that may be used."""
        said = "; ".join(f"{api}: {words}" for api, words in self._absent.items())
        return (
            f"{self.facts.url} has no {' and no '.join(wanted)} API ({said}). Check that the URL ends where "
            "the API begins, usually in /v1, and the model's name"
        )

    async def _choices(self, api: Api, model: str, prompt: Any, *, n: int) -> int:
        """How many choices a request gets.

        Raises:
            AttemptError: it gets none.
            TeacherUnusable: the key is refused.
        """
        shape = CallShape.make(api, {"model": model, "max_tokens": 1, "n": n, "temperature": 1.0})
        most = n * len(prompt) if isinstance(prompt, list) else n
        body = encode_request(Request(shape, prompt))
        tried = 1
        while True:
            try:
                reply = await self._post(api, body)
                return len(decode_reply(reply.body, msgspec.structs.replace(shape, n=most)).choices)
            except RequestRefused as error:
                if error.status in {401, 403}:
                    raise self._refused(error) from error
                raise
            except AttemptError:
                if tried == _TRIES:
                    raise
            await anyio.sleep(_PAUSE * 2 ** (tried - 1))
            tried += 1

    def _refused(self, error: AttemptError) -> TeacherUnusable:
        return TeacherUnusable(
            f"{self.facts.url} refuses this API key: {error.message}. Set the right one in the variable that "
            "--api-key-env names (default OPENAI_API_KEY)"
        )

    async def _post(self, api: Api, body: bytes) -> HttpReply:
        url = self.facts.url + PATHS[api]
        reply = await self._backend.send("POST", url, body, headers=self._headers, timeout=self._seconds)
        for name, value in reply.headers.items():
            if "ratelimit" in name.lower():
                self.facts.rate_limits[name.lower()] = self._hidden.out_of(value)
        if reply.status != 200:
            raise failure(reply, self._secrets)
        return reply

    # ------------------------------------------------------------ the server around the API

    async def look_around(self) -> None:
        """Find ``/metrics``, and the version of servers that tell it."""
        facts = self.facts
        facts.metrics_url = _beside(facts.url, "/metrics")
        page = await self._page(facts.metrics_url)
        facts.metrics = page is not None and read_metrics(page.decode("utf-8", "replace")) is not None
        if facts.server in {"vLLM", "SGLang"}:
            told = await self._page(_beside(facts.url, "/version"))
            try:
                version = msgspec.json.decode(told or b"", type=dict[str, Any]).get("version")
            except (msgspec.DecodeError, UnicodeDecodeError):
                return
            facts.server += f" {version}" if isinstance(version, str) else ""

    async def measure(self, context: ssl.SSLContext | None) -> None:
        """One more small request for its time; one more handshake for its certificate."""
        try:
            await self._models(PROBE_SECONDS)
        except AttemptError as error:
            self.facts.warnings.append(f"a second request failed: {error.message}")
        parts = urlsplit(self.facts.url)
        if context is None or parts.scheme != "https" or parts.hostname is None:
            return
        try:
            with anyio.fail_after(PROBE_SECONDS):
                self.facts.tls = await inspect_certificate(parts.hostname, parts.port or 443, context)
        except OSError as error:  # TimeoutError is one
            self.facts.warnings.append(f"a second TLS handshake failed: {error}")

    async def _page(self, url: str) -> bytes | None:
        """What stands at a URL beside the API, asked for without the key."""
        try:
            reply = await self._get(url, {}, PROBE_SECONDS)
        except (AttemptError, TeacherUnusable):
            return None
        return reply.body if reply.status == 200 else None

    async def _get(self, url: str, headers: Mapping[str, str], seconds: float) -> HttpReply:
        begun = time.monotonic()  # finer than the loop's clock
        reply = await self._backend.send("GET", url, None, headers=headers, timeout=seconds)
        taken = time.monotonic() - begun
        self.facts.round_trip = min(self.facts.round_trip or taken, taken)
        return reply


def split_name(url: str) -> tuple[str, str]:
    """``judge=http://...`` as the pool's name and the URL; without a name the first is empty."""
    name, equals, rest = url.partition("=")
    if equals and name.isidentifier():
        return name, rest
    return "", url


def checked_url(url: str) -> str:
    """The URL without what may be secret in it.

    Raises:
        ConfigError: it is not the URL of an endpoint.
    """
    plain = url.partition("?")[0].partition("#")[0]
    if "@" in plain:  # wherever a slash too few or too many has brought it; it is not repeated
        raise ConfigError(
            "an endpoint's URL must not hold a user name or password; use the API key's variable"
        )
    parts = split_url(plain if "://" in plain else f"http://{plain}")
    if parts is None or parts.scheme not in {"http", "https"}:
        raise ConfigError(f"{plain!r} is not the URL of an endpoint; one looks like http://localhost:8000/v1")
    return urlunsplit(parts._replace(query="", fragment="")).rstrip("/")


def _beside(url: str, path: str) -> str:
    """A page of the server that the API belongs to: beside ``/v1``, not below it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.removesuffix("/v1") + path))


def _read_models(body: bytes, url: str, secrets: Sequence[str]) -> tuple[list[ListedModel], str]:
    """The models of a list, and the owner of the first."""
    try:
        entries = msgspec.json.decode(body, type=_Models).data
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TeacherUnusable(
            f"{url}/models is not a list of models: {server_words(body, secrets)[:200]}. Check that the URL "
            "ends where the API begins, usually in /v1, and that no proxy's page is in between"
        ) from error
    owner: Literal[""] | Any = entries[0].owned_by if entries else ""
    return [ListedModel(entry.id, _length(entry)) for entry in entries], str(owner)


class _Entry(msgspec.Struct):
    id: str
    owned_by: Any = ""
    max_model_len: Any = None
    context_length: Any = None
    context_window: Any = None
    max_context_length: Any = None
    meta: Any = None


class _Models(msgspec.Struct):
    data: list[_Entry]


def _length(entry: _Entry) -> int | None:
    """Tokens of prompt and reply, under the names of vLLM, OpenRouter, Groq, Mistral and llama.cpp.

    llama.cpp's ``n_ctx_train`` is what the model was trained for: an upper bound of what the server gives.
    """
    told = [getattr(entry, name) for name in _LENGTHS]
    if isinstance(entry.meta, dict):
        told += [entry.meta.get("n_ctx"), entry.meta.get("n_ctx_train")]
    return next((value for value in told if isinstance(value, int) and value > 0), None)
