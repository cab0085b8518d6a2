"""Explain why a candidate was kept or dropped: self-instruct explain RUN_DIR ID_OR_TEXT

Shows its text, the rule that decided and why, the nearest record, the part of the completion that it was parsed from, the
demonstrations in the prompt, and the sampling options. Reads only the files of the run and its seed file; applies no filter
and loads no model. A text is compared with whole tasks, then searched in tasks and in outputs, then matched by ROUGE-L.
"""

from pathlib import Path

from self_instruct.config.parser import parse_values
from self_instruct.report.explain import explain_candidate
from self_instruct.runs.options import RunPlace


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    positional = ("RUN_DIR", "ID_OR_TEXT")
    _, (folder, wanted) = parse_values(
        argv, (__doc__ or "").splitlines()[0], (RunPlace,), positional=positional, by={"RUN_DIR": ["batch_dir"]}
    )
    print(explain_candidate(Path(folder), wanted))
    return 0
