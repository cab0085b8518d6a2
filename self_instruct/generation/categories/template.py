"""Texts with variables: `{topic}` is replaced by a value, and everything else is kept.

Unlike `str.format`, it keeps braces that do not enclose a name, because prompts may contain code and JSON, and never fills in
variables inside a value. Text that looks like a variable but is not one is reported as a mistake when the file is read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SIMILAR = re.compile(r"\{[ \t]*([A-Za-z][A-Za-z0-9_]*)[ \t]*\}")


@dataclass(frozen=True)
class Template:
    """A text whose variables are filled in one pass."""

    text: str

    @property
    def names(self) -> tuple[str, ...]:
        """The variables in order of first occurrence."""
        return tuple(dict.fromkeys(_VARIABLE.findall(self.text)))

    @property
    def malformed(self) -> tuple[str, ...]:
        """Texts that look like variables but have spaces or capital letters, so they would not be filled in."""
        similar = (match.group() for match in _SIMILAR.finditer(self.text))
        return tuple(dict.fromkeys(text for text in similar if not _VARIABLE.fullmatch(text)))

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with variables replaced by values; a line that becomes empty because its values are empty is
        removed.

        Raises `KeyError` for a variable without a value.
        """
        lines = []
        for line in self.text.split("\n"):
            filled = _VARIABLE.sub(lambda match: values[match.group(1)], line)
            if filled.strip() or not line.strip():
                lines.append(filled)
        return "\n".join(lines)
