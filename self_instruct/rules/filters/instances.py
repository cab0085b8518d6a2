"""What earlier systems ask of a finished task: the rules by which Self-Instruct cleans its instances, word for word.

`drop_empty` and `drop_output_repeats_task` in output.py see more; these are for who wants the decisions of then.
"""

from self_instruct.records import Record


def drop_blank(record: Record) -> str | None:
    """`empty_instruction` or `empty_output`: nothing but white space."""
    if not record.instruction.strip():
        return "empty_instruction"
    return None if record.output.strip() else "empty_output"


def drop_input_as_output(record: Record) -> str | None:
    """`input_as_output`: the output is the input, sign for sign (wang2022self)."""
    return "input_as_output" if record.output.strip() == record.input.strip() else None


def drop_colon(record: Record) -> str | None:
    """`ends_with_colon`: the input or the output announces what does not come (wang2022self)."""
    ends = {name: text.strip().endswith(":") for name, text in (("input", record.input), ("output", record.output))}
    return next((f"ends_with_colon: {name}" for name, found in ends.items() if found), None)
