"""The options of the report for eyes."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class HtmlReportOptions:
    """report"""

    output_path: str | None = option(None, "HTML file that is written", path="always", alias="output")
    figures_dir: str | None = option(
        None, "also write each figure there, as a PNG of 300 dots per inch", path="always"
    )
    embeddings: bool = option(
        False, "encode the instructions whose vectors are not at hand; they are kept beside the output"
    )
    projection: str = option(
        "tsne", "how vectors become points of a plane; tsne keeps neighbours together, pca keeps distances, and is fast",
        choices=("tsne", "pca"),
    )  # fmt: skip
    map_points: int = option(4000, "points of the map, of all that is shown together", minimum=2, maximum=50_000)


@dataclass(frozen=True)
class StatusOptions:
    """what is shown of a run (not part of a run)"""

    watch: bool = option(False, "show it again and again, until the run ends or Ctrl-C")
    watch_seconds: float = option(5.0, "how often --watch looks", above=0)
    json: bool = option(False, "one JSON object, a line each time, for scripts")
