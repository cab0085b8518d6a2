"""The options of the HTML report and of `status`."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class HtmlReportOptions:
    """report"""

    output_path: str | None = option(None, "HTML file to write", path="always", alias="output")
    figures_dir: str | None = option(
        None, "also write each figure to this directory, as a PNG at 300 dpi", path="always"
    )
    embeddings: bool = option(
        False, "encode the instructions without a cached embedding; new embeddings are stored beside the output"
    )
    reference: str | None = option(
        None,
        "run or file that the records should cover: the share of its tasks near a record is shown; needs embeddings",
        path="always",
    )
    projection: str = option(
        "tsne",
        "projection of the embeddings to two dimensions; tsne keeps neighbours together; pca keeps "
        "distances, and is fast",
        choices=("tsne", "pca"),
    )
    map_points: int = option(
        4000, "maximum number of points on the map, for all inputs together", minimum=2, maximum=50_000
    )


@dataclass(frozen=True)
class StatusOptions:
    """status"""

    watch: bool = option(False, "refresh until the run ends or Ctrl-C")
    watch_seconds: float = option(5.0, "seconds between refreshes with --watch", above=0)
    json: bool = option(False, "print one JSON object per refresh, for scripts")
