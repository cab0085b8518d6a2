"""YAML as data only, with two surprises of PyYAML's taken out.

A key that stands twice is refused, where PyYAML keeps the last one and says nothing. A key is its text, as `yes`, `on`, `1` or
`null` are written, where YAML 1.1 makes values of them; the values themselves stay what YAML makes of them.
"""

from typing import Any

import yaml

_TEXT = "tag:yaml.org,2002:str"
_READ_AS_VALUES = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp", "value")}


class UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's safe loader. Raises `yaml.YAMLError` for a key that stands twice, is empty, or is a list or mapping."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping, after a look at its keys, before those of others are merged into it."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                problem = "a key is empty" if isinstance(key, yaml.ScalarNode) else "a list or mapping stands as a key"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            if key.value in seen:
                raise yaml.composer.ComposerError(None, None, f"{key.value} stands twice", key.start_mark)
            seen.add(key.value)
            if key.tag in _READ_AS_VALUES:
                key.tag = _TEXT
        return node
