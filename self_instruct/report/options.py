"""Options of the HTML report and of the status command."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class HtmlReportOptions:
    """report"""

    output_path: str | None = option(None, "HTML file to write", path="always", alias="output")
    figures_dir: str | None = option(
        None, "also write each figure to this folder, as a PNG of 300 dots per inch", path="always"
    )
    embeddings: bool = option(
        False, "encode the instructions without a stored vector; vectors are kept beside the output"
    )
    projection: str = option(
        "tsne", "projection of the map: tsne keeps neighbours together; pca keeps distances and is fast",
        choices=("tsne", "pca"),
    )  # fmt: skip
    map_points: int = option(4000, "number of points on all maps together", minimum=2, maximum=50_000)


@dataclass(frozen=True)
class StatusOptions:
    """status (not part of a run)"""

    watch: bool = option(False, "repeat until the run ends or Ctrl-C is pressed")
    watch_seconds: float = option(5.0, "seconds between two updates of --watch", above=0)
    json: bool = option(False, "print one line of JSON per update, for scripts")
