"""``LLMBlock``: one prompt file, one call for each record, the replies parsed into columns."""

from __future__ import annotations

from ..abc import Context, Flow
from ..record import Columns
from .asking import AskingBlock, AskingConfig

__all__ = ["LLMBlock", "LLMConfig"]


class LLMConfig(AskingConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys of ``LLMBlock``; ``config_path`` is its prompt file, relative to the pipeline file."""

    config_path: str


class LLMBlock(AskingBlock[LLMConfig]):
    """Asks the teacher with the prompt file's template, wrapped in the model's chat template."""

    Config = LLMConfig

    def __init__(self, config: LLMConfig, context: Context) -> None:
        super().__init__(config, context, [config.config_path], wraps=True)
        self._template = self.prompts[config.config_path].template

    def prompt(self, columns: Columns) -> str:
        """The rendered and wrapped prompt of a record."""
        return self.wrap(self._template.render(columns))

    @property
    def flow(self) -> Flow:
        """Needs the template's columns, adds those that have tags or groups."""
        return self._flow(self._template.required, self._template.names)
