"""The simulated teacher: a real HTTP server that behaves like vLLM without any model behind it.

It serves the demo, the tests and the benchmarks. Everything it sends says that it is a simulation, its
replies are built from the prompt's own words, and the same settings give the same replies every time.

``settings`` describes a server, ``server`` runs it::

    async with serve(SimulatorSettings(latency="zero")) as server:
        ...  # server.url is http://127.0.0.1:PORT/v1

Importing this package loads no HTTP library; importing ``simulator.server`` does.
"""

from __future__ import annotations

from .settings import Fault, FaultRule, SimulatorSettings, load_faults

__all__ = ["Fault", "FaultRule", "SimulatorSettings", "load_faults"]
