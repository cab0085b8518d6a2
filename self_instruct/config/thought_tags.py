"""The marks of thoughts that come with the project."""

from functools import cache

from self_instruct.config.shipped import shipped
from self_instruct.thoughts import ThoughtTags
from self_instruct.user_files import load_yaml

FILE = "configs/thought_tags.yaml"


@cache
def thought_tags() -> ThoughtTags:
    """Return the marks of thoughts."""
    return ThoughtTags.of(load_yaml(shipped(FILE).read_text(encoding="utf-8")))
