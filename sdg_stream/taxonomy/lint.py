"""The layout of qna.yaml files, looked at by yamllint with the rules that taxonomies are kept by."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import ConfigError, Problem

__all__ = ["lint", "load_rules"]

DEFAULT_RULES = "{extends: relaxed, rules: {line-length: disable}}"


def load_rules(file: Path | None = None) -> Any:
    """A yamllint configuration: that of ``file``, or the default.

    Raises:
        ConfigError: the file cannot be read, or is no such configuration.
    """
    config = import_module("yamllint.config")  # when it is needed: 50 ms

    if file is None:
        return config.YamlLintConfig(DEFAULT_RULES)
    try:
        text = file.read_text(encoding="utf-8")
        return config.YamlLintConfig(text if ":" in text else f"extends: {text}")
    except OSError as error:
        raise ConfigError(Problem(file=str(file), message=f"cannot be read: {error.strerror}")) from error
    except (config.YamlLintConfigError, UnicodeDecodeError) as error:
        words = f"is no yamllint configuration: {error}"
        raise ConfigError(Problem(file=str(file), message=words)) from error


def lint(text: str, file: str, rules: Any) -> Iterator[Problem]:
    """What yamllint finds in a file's text, warnings too: a taxonomy is kept free of both."""
    for found in import_module("yamllint.linter").run(text, rules):
        words = f"{found.desc} ({found.rule})" if found.rule else found.desc
        yield Problem(file=file, line=found.line, message=f"{words}, column {found.column}")
