"""Why a candidate was accepted or rejected: python -m self_instruct.explain RUN_DIR ID_OR_TEXT

Shows its text, the rule that decided with what it saw, the nearest record, the part of the completion that it was read from,
what the model had been shown, and how it sampled. Everything is read from the files of the run directory and its seed file:
nothing is judged again and no model is loaded. A text is looked for as a whole task, then inside tasks, then inside
outputs, then by its words.
"""

from pathlib import Path

from self_instruct.config.parser import parse_values
from self_instruct.report.explain import explain_candidate
from self_instruct.runs.options import RunPlace


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    places = ("RUN_DIR", "ID_OR_TEXT")
    _, (folder, wanted) = parse_values(
        argv, (__doc__ or "").splitlines()[0], (RunPlace,), positional=places, by={"RUN_DIR": ["batch_dir"]}
    )
    print(explain_candidate(Path(folder), wanted))
    return 0
