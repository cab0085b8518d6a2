"""What a figure, a section and a report's knowledge are. Draws nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from self_instruct.report.neighbours import Neighbours
from self_instruct.report.sources import Source
from self_instruct.report.verb_noun import VerbNoun


@dataclass(frozen=True)
class Figure:
    """A chart with its words. `points` of a map are rows of the page's table, whose text is shown where the pointer is."""

    name: str
    title: str
    caption: str
    spec: dict[str, Any]
    wide: bool = False
    points: bool = False


@dataclass(frozen=True)
class Known:
    """What was found out about the sources, in their order; `no_vectors` says why there are no vectors."""

    sources: Sequence[Source]
    pairs: list[list[VerbNoun]]
    neighbours: list[Neighbours]
    vectors: list[np.ndarray] | None
    no_vectors: str = ""

    @property
    def names(self) -> list[str]:
        """The names of the sources."""
        return [source.name for source in self.sources]


@dataclass
class Section:
    """A part of the report: its figures, and what is to be said where one is missing."""

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
