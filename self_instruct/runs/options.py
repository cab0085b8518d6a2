"""The option that selects the run to read."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class RunPlace:
    """run"""

    batch_dir: str | None = option(None, "directory of a generation run", path="always", common=True)
