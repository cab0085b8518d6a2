"""The marks of thoughts that come with the project."""

from functools import cache

import yaml

from self_instruct.config.shipped import shipped
from self_instruct.thoughts import ThoughtTags

FILE = "configs/thought_tags.yaml"


@cache
def thought_tags() -> ThoughtTags:
    """Return the marks of thoughts."""
    return ThoughtTags.of(yaml.safe_load(shipped(FILE).read_text(encoding="utf-8")))
