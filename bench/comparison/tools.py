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

TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            name="sdg_stream",
            driver="sdg_stream_driver.py",
            imports="import sdg_stream",
            help=("-m", "sdg_stream", "--help"),
            fast=("zero", "inflight"),
            settings={
                "*": Setting(72),
                "zero": Setting(64),
                "memory": Setting(64),
                "inflight": Setting(576),
            },
        ),
        Tool(
            name="aiohttp",
            driver="bare_aiohttp_driver.py",
            requirements=CLIENTS,
            environment="clients",
            version_of="aiohttp",
            client=True,
            imports="import aiohttp, orjson, uvloop",
            fast=("zero", "inflight"),
            settings={
                "*": Setting(72),
                "zero": Setting(32),
                "memory": Setting(32),
                "inflight": Setting(576),
            },
            unable={"crash": NO_STATE, "poison": ENDS, "refusals": ENDS},
        ),
        Tool(
            name="httpx",
            driver="bare_httpx_driver.py",
            requirements=CLIENTS,
            environment="clients",
            version_of="httpx",
            client=True,
            imports="import httpx, orjson, uvloop",
            settings={
                "*": Setting(64),
                "zero": Setting(4),
                "memory": Setting(4),
                "inflight": Setting(512),
            },
            unable={"chain": NO_CHAIN, "crash": NO_STATE, "poison": ENDS, "refusals": ENDS},
        ),
        Tool(
            name="openai",
            driver="bare_openai_driver.py",
            requirements=CLIENTS,
            environment="clients",
            version_of="openai",
            client=True,
            imports="import openai, orjson, uvloop",
            settings={
                "*": Setting(72),
                "zero": Setting(8),
                "memory": Setting(8),
                "inflight": Setting(512),
            },
            unable={"chain": NO_CHAIN, "crash": NO_STATE, "poison": ENDS},
        ),
        Tool(
            name="instructlab-sdg",
            driver="instructlab_sdg_driver.py",
            requirements=("instructlab-sdg==0.8.3",),
            environment="instructlab-sdg",
            version_of="instructlab-sdg",
            imports="import instructlab.sdg",
            help=("-m", "instructlab.sdg.cli.run_pipeline", "--help"),
            fast=("zero",),
            settings={
                "*": Setting(256, {"batch_size": 8, "workers": 32}),
                "zero": Setting(1024, {"batch_size": 256, "workers": 4}),
                "memory": Setting(1024, {"batch_size": 256, "workers": 4}),
                "chain": Setting(160, {"batch_size": 4, "workers": 40}),
                "inflight": Setting(512, {"batch_size": 8, "workers": 64}),
                "crash": Setting(256, {"batch_size": 8, "workers": 32, "checkpoints": True}),
            },
        ),
        Tool(
            name="sdg-hub",
            driver="sdg_hub_driver.py",
            requirements=("sdg-hub==0.9.4",),
            environment="sdg-hub",
            version_of="sdg-hub",
            imports="import sdg_hub",
            settings={
                "*": Setting(128),
                "zero": Setting(64),
                "memory": Setting(64),
                "chain": Setting(96),
                "inflight": Setting(512),
                "crash": Setting(128, {"save_freq": 200}),
            },
        ),
        Tool(
            name="distilabel",
            driver="distilabel_driver.py",
            requirements=(
                "distilabel[openai]==1.5.3",
                "requests",
            ),  # it imports requests without declaring it
            environment="distilabel",
            version_of="distilabel",
            imports="import distilabel.pipeline, distilabel.models, distilabel.steps.tasks",
            help=("-m", "distilabel", "--help"),
            settings={
                "*": Setting(1000, {"batch": 1000}),
                "zero": Setting(250, {"batch": 250}),
                "memory": Setting(250, {"batch": 250}),
                "chain": Setting(128, {"batch": 128, "first_batch": 32}),
                "inflight": Setting(1000, {"batch": 1000}),
                "crash": Setting(200, {"batch": 200, "cache": True}),
                "poison": Setting(50, {"batch": 50}),
            },
        ),
        Tool(
            name="curator",
            driver="curator_driver.py",
            requirements=("bespokelabs-curator==0.1.31",),
            environment="curator",
            version_of="bespokelabs-curator",
            imports="from bespokelabs import curator",
            settings={
                "*": Setting(128),
                "zero": Setting(256),
                "memory": Setting(256),
                "chain": Setting(256),
                "inflight": Setting(512),
            },
        ),
        Tool(
            name="data-designer",
            driver="data_designer_driver.py",
            requirements=("data-designer==0.9.6",),
            environment="data-designer",
            version_of="data-designer",
            imports="import data_designer.config, data_designer.interface",
            help=("-c", "from data_designer.cli.main import main; main()", "--help"),
            settings={
                "*": Setting(64),
                "zero": Setting(32),
                "memory": Setting(32),
                "chain": Setting(80),
                "inflight": Setting(512),
                "crash": Setting(64, {"buffer_size": 100}),
                "refusals": Setting(
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
            },
        ),
    )
}
