"""Synthetic data generation as a stream: the public names. They load on first use, so importing is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .abc import (
        AsyncBlock,
        Backend,
        BlockConfig,
        Completion,
        Context,
        Flow,
        GroupBlock,
        Request,
        RowBlock,
        Sink,
        Source,
        Teacher,
    )
    from .compat import (
        generate_data,
        generate_taxonomy,
        generate_taxonomy_eval,
        mix_datasets,
        postprocess_taxonomy,
        preprocess_taxonomy,
    )
    from .config.settings import Settings
    from .engine.limits import Limits
    from .errors import (
        ConfigError,
        GenerateException,
        OutputError,
        RecordError,
        RunStateError,
        SdgStreamError,
        TeacherUnusable,
    )
    from .events import Event, EventHook, RunReport
    from .generation.generation import Generation
    from .generation.report import GenerationOptions, GenerationReport
    from .pipeline import Pipeline
    from .record import Columns, Record
    from .state.opening import Keep
    from .teacher.connect import connect

__all__ = [
    "AsyncBlock",
    "Backend",
    "BlockConfig",
    "Columns",
    "Completion",
    "ConfigError",
    "Context",
    "Event",
    "EventHook",
    "Flow",
    "GenerateException",
    "Generation",
    "GenerationOptions",
    "GenerationReport",
    "GroupBlock",
    "Keep",
    "Limits",
    "OutputError",
    "Pipeline",
    "Record",
    "RecordError",
    "Request",
    "RowBlock",
    "RunReport",
    "RunStateError",
    "SdgStreamError",
    "Settings",
    "Sink",
    "Source",
    "Teacher",
    "TeacherUnusable",
    "connect",
    "generate_data",
    "generate_taxonomy",
    "generate_taxonomy_eval",
    "mix_datasets",
    "postprocess_taxonomy",
    "preprocess_taxonomy",
]

_HOMES = {
    "abc": "AsyncBlock Backend BlockConfig Completion Context Flow GroupBlock Request RowBlock Sink Source "
    "Teacher",
    "compat": "generate_data generate_taxonomy generate_taxonomy_eval mix_datasets postprocess_taxonomy "
    "preprocess_taxonomy",
    "config.settings": "Settings",
    "engine.limits": "Limits",
    "errors": "ConfigError GenerateException OutputError RecordError RunStateError SdgStreamError "
    "TeacherUnusable",
    "events": "Event EventHook RunReport",
    "generation.generation": "Generation",
    "generation.report": "GenerationOptions GenerationReport",
    "pipeline": "Pipeline",
    "record": "Columns Record",
    "state.opening": "Keep",
    "teacher.connect": "connect",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names.split():
            found = getattr(import_module(f".{module}", __name__), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
