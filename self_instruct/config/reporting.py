"""The options of observing a run: what is shown, what is logged, and where else figures go."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class ReportingOptions:
    """observing"""

    log_level: str = option(
        "info", "what is shown on the error stream; logs/ in --batch_dir has it too, and never less than info",
        choices=("debug", "info", "warning", "error"),
    )  # fmt: skip
    heartbeat_seconds: float = option(60.0, "how often a line tells how the run goes, where no bar does", above=0)
    report_to: str = option(
        "none", "a tracker that is given the figures of the run, through accelerate; tensorboard: files in --batch_dir; "
        "wandb: as its own environment variables say", choices=("tensorboard", "wandb", "none"),
    )  # fmt: skip


@dataclass(frozen=True)
class StatusOptions:
    """what is shown of a run (not part of a run)"""

    watch: bool = option(False, "show it again and again, until the run ends or Ctrl-C")
    watch_seconds: float = option(5.0, "how often --watch looks", above=0)
    json: bool = option(False, "one JSON object, a line each time, for scripts")
