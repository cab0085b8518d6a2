"""The filters that the original Self-Instruct applies to its instances, reproduced exactly.

Use them to reproduce the original decisions; otherwise use `drop_empty` and `drop_output_repeats_task` in output.py, which find
more bad records.
"""

from self_instruct.records import Record


def drop_blank(record: Record) -> str | None:
    """Reject with `empty_instruction` or `empty_output` if the instruction or the output is only white space."""
    if not record.instruction.strip():
        return "empty_instruction"
    return None if record.output.strip() else "empty_output"


def drop_input_as_output(record: Record) -> str | None:
    """Reject with `input_as_output` if the output equals the input exactly (wang2022self)."""
    return "input_as_output" if record.output.strip() == record.input.strip() else None


def drop_colon(record: Record) -> str | None:
    """Reject with `ends_with_colon` if the input or the output ends with a colon (wang2022self)."""
    ends = {name: text.strip().endswith(":") for name, text in (("input", record.input), ("output", record.output))}
    return next((f"ends_with_colon: {name}" for name, found in ends.items() if found), None)
