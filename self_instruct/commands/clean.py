"""self-instruct clean IN [IN ...] --output_path OUT [--max_tokens N]"""

import sys
from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import resolved, taken
from self_instruct.datasets.conversation_cleaning import Cleaning, Foreign
from self_instruct.datasets.convert import Target, format_losses
from self_instruct.datasets.options import (
    CleaningOptions,
    ConversationOutputOptions,
    ReadingOptions,
    parse_inputs,
)
from self_instruct.datasets.splitting import BYTES_PER_TOKEN, Count, estimated_tokens
from self_instruct.errors import UserError
from self_instruct.runs.layout import PIPE, OutputPaths
from self_instruct.runs.tally import Tally

_HELP = (
    "Clean conversations that were saved from a chat page: convert HTML to Markdown, remove the page's buttons and labels, "
    "pair questions and answers, drop duplicates and unwanted languages, split long conversations. Every turn that is not in "
    "OUT is in OUT.rejected.jsonl with its reason, and counted in OUT.report.json: turns read = turns written + turns dropped. "
    "Exit codes are the same as for convert."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    given, inputs = parse_inputs(argv, _HELP, ConversationOutputOptions, CleaningOptions)
    if given.get("output_path") is None:
        raise UserError("--output_path is missing; give clean IN --output_path OUT.json")
    output = str(given["output_path"])
    OutputPaths(Path(output)).check_inputs(inputs, "IN")
    options = taken(CleaningOptions, given)
    from self_instruct.datasets.clean import CleanJob, clean_sources

    count, counted = _counting(options)
    if options.html == "auto":
        from self_instruct.datasets.markup import check_libraries

        check_libraries()
    cleaning = Cleaning(options.drop_mentions, options.html == "auto", _foreign(options))
    job = CleanJob(cleaning, options.max_tokens, count, options.repeated_digits, options.wrong_lists)
    target = Target(str(given.get("to", ConversationOutputOptions().to)), output, columns=frozenset(["messages"]))
    sources = taken(ReadingOptions, given).sources(inputs)
    settings = resolved(given, ReadingOptions, ConversationOutputOptions, CleaningOptions)
    about = {"options": settings, **({"tokens": counted} if options.max_tokens is not None else {})}
    counts, format = clean_sources(sources, target, job, about)

    rows, turns = Tally.sum(one.tally for one, _ in counts), Tally.sum(one.tally for _, one in counts)
    samples, read = sum(one.samples for _, one in counts), sum(one.read for _, one in counts)
    lines = [
        f"{rows.kept:,} of {rows.total:,} conversations were kept; they were written as {format.what}, in {samples:,} samples."
    ]
    lines += [f"Tokens were counted by {counted}."] if options.max_tokens is not None else []
    lines += ["Dropped conversations:", *rows.lines()] if rows.drops else []
    lines += [f"Turns: {read:,} read, {turns.kept:,} written, {turns.drops.total():,} dropped.", *turns.lines()]
    lines += [line for one, _ in counts for line in one.reader.notes()]
    lines += format_losses([one for one, _ in counts])
    print("\n".join(lines), file=sys.stderr if output == PIPE else sys.stdout)
    return SOME_UNREADABLE if rows.dropped("read") else 0


def _counting(options: CleaningOptions) -> tuple[Count, str]:
    """Return the function that counts tokens, and a description of it."""
    if options.model_name_or_path is None:
        return estimated_tokens, f"an estimate, one for every {BYTES_PER_TOKEN} bytes of UTF-8"
    if options.max_tokens is None:
        raise UserError(
            f"--model_name_or_path {options.model_name_or_path} counts tokens for --max_tokens, which is missing; give both "
            "or neither"
        )
    from self_instruct.engines.local.tokenizer import load_text

    tokenizer, _, _ = load_text(
        options.model_name_or_path, options.model_revision, options.trust_remote_code, elsewhere=True
    )

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    return count, f"the tokenizer of {options.model_name_or_path}"


def _foreign(options: CleaningOptions) -> Foreign | None:
    """Return the check for unwanted languages, from --keep_languages or --skip_languages; None without either."""
    keep, skip = options.keep_languages, options.skip_languages
    if keep and skip:
        raise UserError("--keep_languages and --skip_languages are both given; give only one of them")
    if not keep and not skip:
        return None
    from self_instruct.rules.filters.language import unwanted_language

    if keep:
        return unwanted_language(keep, "--keep_languages")
    return unwanted_language(skip, "--skip_languages", all_but_these=True)
