"""A YAML loader that refuses a key given twice, where PyYAML takes the last one and says nothing."""

from __future__ import annotations

from typing import Any

import yaml

from ndino.common.errors import printable


class RepeatedKeyError(yaml.MarkedYAMLError):
    """YAML in which a key is given twice in one mapping."""


class UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a repeated key, before merges ("<<"), which may say again what they bring."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (before := first.setdefault((key.tag, key.value), key)) is not key:
                line = before.start_mark.line + 1
                problem = f"{printable(key.value)} is given twice (first in line {line})"
                raise RepeatedKeyError(problem=problem, problem_mark=key.start_mark)
        return node
