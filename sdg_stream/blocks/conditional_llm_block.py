"""``ConditionalLLMBlock``: the value of a column picks the prompt file."""

from __future__ import annotations

from typing import TypeAlias

from ..abc import Context, Flow
from ..prompts.template import Template
from ..record import Columns
from .asking import AskingBlock, AskingConfig
from .record_errors import missing_column, unknown_choice

__all__ = ["ConditionalLLMBlock", "ConditionalLLMConfig"]

Key: TypeAlias = str | int | float | bool | None

EVERY = "All"  # as the only key: one prompt file for all records


class ConditionalLLMConfig(AskingConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys of ``ConditionalLLMBlock``.

    Attributes:
        config_paths: pairs of prompt file and value of the selector column; of equal values the last counts.
        selector_column_name: the column whose value picks the prompt file.
        use_chat_template: wrap prompts as ``LLMBlock`` does. Old pipelines were tuned on bare prompts.
    """

    config_paths: tuple[tuple[str, Key], ...]
    selector_column_name: str
    use_chat_template: bool = False

    def __post_init__(self) -> None:
        """Refuse a block without prompt files."""
        if not self.config_paths:
            raise ValueError("config_paths needs at least one pair of prompt file and key")


class ConditionalLLMBlock(AskingBlock[ConditionalLLMConfig]):
    """Asks with the prompt file of the record's kind; all replies are parsed by the first file's tags."""

    Config = ConditionalLLMConfig

    def __init__(self, config: ConditionalLLMConfig, context: Context) -> None:
        paths = [path for path, _ in config.config_paths]
        super().__init__(config, context, paths, wraps=config.use_chat_template)
        self._templates = {key: self.prompts[path].template for path, key in config.config_paths}
        self._only = self._templates[EVERY] if [key for _, key in config.config_paths] == [EVERY] else None
        by_tags = config.parser_kwargs.parser_name != "custom"
        if by_tags and any(prompt.tags != self.prompts[paths[0]].tags for prompt in self.prompts.values()):
            context.warn("tags_disagree", f"the tags of {paths[0]} parse the replies to all prompt files")

    def prompt(self, columns: Columns) -> str:
        """The rendered prompt of a record."""
        template = self._only or self._pick(columns)
        return self.wrap(template.render(columns))

    def _pick(self, columns: Columns) -> Template:
        selector = self.config.selector_column_name
        if selector not in columns:
            raise missing_column([selector], columns)
        value = columns[selector]
        try:
            return self._templates[value]
        except (KeyError, TypeError) as error:  # TypeError: lists and mappings are no keys
            raise unknown_choice(selector, value, self._templates) from error

    @property
    def flow(self) -> Flow:
        """Needs the selector column, and the columns that all templates need."""
        if self._only is not None:
            return self._flow(self._only.required, self._only.names)
        selector = {self.config.selector_column_name}
        templates = self._templates.values()
        required = frozenset.intersection(*(template.required for template in templates))
        names = frozenset.union(*(template.names for template in templates))
        return self._flow(required | selector, names | selector)
