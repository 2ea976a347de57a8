"""The tools, their pinned versions, and their best settings for each case, as found by trying."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["TOOLS", "Setting", "Tool"]


class Setting(msgspec.Struct, frozen=True):
    """How a tool does a case: its concurrency, and options that its driver explains."""

    concurrency: int
    options: dict[str, Any] = {}


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool.

    Attributes:
        name: of the tool.
        driver: file in ``peers``.
        requirements: for pip; empty means the environment that runs the comparison.
        environment: folder of its venv; tools may share one.
        version_of: distribution whose version is told.
        imports: what is imported before anything can be done.
        help: arguments to Python for the help of its command line; None if it has none for generation.
        client: a bare client, which is a ceiling and does not do what the others do.
        fast: cases in which it makes more than a thousand calls a second: measuring it takes more calls.
        settings: by case; ``"*"`` is for the others.
        unable: by case, why it cannot do it.
    """

    name: str
    driver: str
    requirements: tuple[str, ...] = ()
    environment: str = ""
    version_of: str = ""
    imports: str
    help: tuple[str, ...] | None = None
    client: bool = False
    fast: tuple[str, ...] = ()
    settings: dict[str, Setting]
    unable: dict[str, str] = {}

    def setting(self, case: str) -> Setting:
        """What it does a case with."""
        return self.settings.get(case) or self.settings["*"]


CLIENTS = ("aiohttp==3.14.5", "httpx==0.28.1", "openai==3.54.0", "uvloop==0.23.0", "orjson==3.13.0")
NO_STATE = "it is a client: it keeps no state, so every call is made again"
ENDS = "a loop ends at the first refusal, as its author wrote it"
NO_CHAIN = "a loop over a client has no stages; the aiohttp loop shows what following a chain by hand gives"


def _settings(usual: Setting, at_once: Setting, inflight: Setting, **others: Setting) -> dict[str, Setting]:
    """By case: ``at_once`` where the server answers at once, ``usual`` for what is not named."""
    return {"*": usual, "zero": at_once, "memory": at_once, "inflight": inflight, **others}


def _client(name: str, settings: dict[str, Setting], unable: dict[str, str], fast: bool = False) -> Tool:
    """A bare client; all are in one environment."""
    return Tool(
        name=name,
        driver=f"bare_{name}_driver.py",
        requirements=CLIENTS,
        environment="clients",
        version_of=name,
        imports=f"import {name}, orjson, uvloop",
        client=True,
        fast=("zero", "inflight") if fast else (),
        settings=settings,
        unable=unable,
    )


def _generator(
    name: str,
    requirements: tuple[str, ...],
    imports: str,
    settings: dict[str, Setting],
    *,
    version_of: str = "",
    **more: Any,
) -> Tool:
    """A tool that generates data, in an environment of its own."""
    return Tool(
        name=name,
        driver=f"{name.replace('-', '_')}_driver.py",
        requirements=requirements,
        environment=name,
        version_of=version_of or name,
        imports=imports,
        settings=settings,
        **more,
    )


_ALL = (
    Tool(
        name="sdg_stream",
        driver="sdg_stream_driver.py",
        imports="import sdg_stream",
        help=("-m", "sdg_stream", "--help"),
        fast=("zero", "inflight"),
        settings=_settings(Setting(72), Setting(64), Setting(576)),
    ),
    _client(
        "aiohttp",
        _settings(Setting(72), Setting(32), Setting(576)),
        {"crash": NO_STATE, "poison": ENDS, "refusals": ENDS},
        fast=True,
    ),
    _client(
        "httpx",
        _settings(Setting(64), Setting(4), Setting(512)),
        {"chain": NO_CHAIN, "crash": NO_STATE, "poison": ENDS, "refusals": ENDS},
    ),
    _client(
        "openai",
        _settings(Setting(72), Setting(8), Setting(512)),
        {"chain": NO_CHAIN, "crash": NO_STATE, "poison": ENDS},
    ),
    _generator(
        "instructlab-sdg",
        ("instructlab-sdg==0.8.3",),
        "import instructlab.sdg",
        _settings(
            Setting(256, {"batch_size": 8, "workers": 32}),
            Setting(1024, {"batch_size": 256, "workers": 4}),
            Setting(512, {"batch_size": 8, "workers": 64}),
            chain=Setting(160, {"batch_size": 4, "workers": 40}),
            crash=Setting(256, {"batch_size": 8, "workers": 32, "checkpoints": True}),
        ),
        help=("-m", "instructlab.sdg.cli.run_pipeline", "--help"),
        fast=("zero",),
    ),
    _generator(
        "sdg-hub",
        ("sdg-hub==0.9.4",),
        "import sdg_hub",
        _settings(
            Setting(128), Setting(64), Setting(512), chain=Setting(96), crash=Setting(128, {"save_freq": 200})
        ),
    ),
    _generator(
        "distilabel",
        ("distilabel[openai]==1.5.3", "requests"),  # it imports requests without declaring it
        "import distilabel.pipeline, distilabel.models, distilabel.steps.tasks",
        _settings(
            Setting(1000, {"batch": 1000}),
            Setting(250, {"batch": 250}),
            Setting(1000, {"batch": 1000}),
            chain=Setting(128, {"batch": 128, "first_batch": 32}),
            crash=Setting(200, {"batch": 200, "cache": True}),
            poison=Setting(50, {"batch": 50}),
        ),
        help=("-m", "distilabel", "--help"),
    ),
    _generator(
        "curator",
        ("bespokelabs-curator==0.1.31",),
        "from bespokelabs import curator",
        _settings(Setting(128), Setting(256), Setting(512), chain=Setting(256)),
        version_of="bespokelabs-curator",
    ),
    _generator(
        "data-designer",
        ("data-designer==0.9.6",),
        "import data_designer.config, data_designer.interface",
        _settings(
            Setting(64),
            Setting(32),
            Setting(512),
            chain=Setting(80),
            crash=Setting(64, {"buffer_size": 100}),
            refusals=Setting(
                64,
                {
                    "admission": {
                        "multiplicative_decrease_factor": 0.99,
                        "additive_increase_step": 64,
                        "successes_until_increase": 1,
                        "cooldown_seconds": 0.05,
                    }
                },
            ),
        ),
        help=("-c", "from data_designer.cli.main import main; main()", "--help"),
    ),
)
TOOLS = {tool.name: tool for tool in _ALL}
"""By name, in the order of the tables."""
