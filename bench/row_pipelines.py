"""Pipelines of five row blocks, for benchmarks that make no calls."""

from __future__ import annotations

__all__ = ["ONE_ROW", "TWO_ROWS"]

FOUR = """
version: "1.0"
blocks:
  - {name: copy, type: DuplicateColumnsBlock, config: {columns_map: {text: copy}}}
  - {name: rename, type: RenameColumnsBlock, config: {columns_map: {copy: kept}}}
  - {name: join, type: CombineColumnsBlock, config: {columns: [text, kept], output_col: both}}
  - name: keep
    type: FilterByValueBlock
    config: {filter_column: score, filter_value: 5, operation: ge, convert_dtype: int}
"""
ONE_ROW = f"""{FOUR}
  - name: again
    type: DuplicateColumnsBlock
    config: {{columns_map: {{both: more}}}}
    drop_columns: [kept]
"""
"""From a record with ``text`` and a ``score`` of 5 or more, one row."""
TWO_ROWS = f"""{FOUR}
  - name: flat
    type: FlattenColumnsBlock
    config: {{var_cols: [text, kept], value_name: v, var_name: k}}
"""
"""Two rows, and none of a lower score."""
