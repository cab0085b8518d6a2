"""Write rows for trainers: messages with images, tools and preferences for TRL, LLaMA-Factory and Axolotl, and requests for
OpenAI's batches. A row that a trainer cannot use raises `Unfit`.
"""

import json
from typing import Any

from self_instruct.datasets.example import SYSTEM, Example, Turn
from self_instruct.datasets.fields import rest_of
from self_instruct.datasets.naming import made_id
from self_instruct.datasets.turns import from_and_value, media_of


class Unfit(Exception):
    """A format cannot hold an example; has a reason code and a description."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason, self.problem = reason, problem


def with_system(example: Example, turns: list[Turn] | None = None) -> list[Turn]:
    """Return the turns after the system prompt. Raises Unfit if there are none."""
    system = [{"role": SYSTEM, "content": example.system}] if example.system else []
    said = example.turns if turns is None else turns
    if not said:
        raise Unfit("empty", "holds no text")
    return system + said


def message(turn: Turn) -> dict[str, Any]:
    """Return a turn for chat templates. Content with images is a list of parts; empty content beside a tool call is null."""
    parts, content = turn.get("parts"), turn["content"]
    if isinstance(parts, list) and any(_is_medium(part) for part in parts):
        said = "".join(str(part.get("text", part.get("value", ""))) for part in parts if not _is_medium(part))
        texts = [{"type": "text", "text": content}] if content and said != content else []
        content = [*map(_part, parts)] if not texts else [*(_part(part) for part in parts if _is_medium(part)), *texts]
    elif not content and turn.get("tool_calls"):
        content = None
    return {"role": turn["role"], "content": content, **rest_of(turn, "role", "content", "parts")}


def images_of(example: Example) -> list[Any]:
    """Return references to all images, those in the turns first."""
    found = [media_of(part) for turn in example.turns for part in turn.get("parts", []) if isinstance(part, dict)]
    return [one[1] for one in found if one is not None and one[0] == "image" and one[1] is not None] + example.images


def beside(example: Example) -> dict[str, Any]:
    """Return the columns `tools` and `images` that trainers read, if the example has them."""
    images = images_of(example)
    return {**({"tools": example.tools} if example.tools else {}), **({"images": images} if images else {})}


def part_losses(example: Example, images: bool) -> list[str]:
    """Return the names of the fields and media that are lost when parts become messages.

    References to images are kept if the rows have the column `images`.
    """
    lost = dict[str, None]()
    for turn in [*example.turns, *example.rejected]:
        parts = turn.get("parts")
        for part in parts if isinstance(parts, list) else ():
            medium = media_of(part) if isinstance(part, dict) else None
            if medium is None or medium[0] != "image" or not images:
                lost |= {f"part: {key}": None for key in rest_of(part, "type", "text", "value")} if medium is None else (
                    {f"part: {medium[0]}": None})  # fmt: skip
            else:
                lost |= {f"part: {key}": None for key in part if key not in ("type", "text", "url", "path", "image")
                         and "image" not in key}  # fmt: skip
    return list(lost)


def preference(example: Example, *, messages: bool) -> list[dict[str, Any]]:
    """Return TRL's row of a preference: texts, or lists of messages."""
    if not example.rejected or not example.answer:
        raise Unfit("no_pair", "has no better and worse answer")
    asked, chosen = example.asked, example.answer
    if messages or example.messages or len(example.rejected) != 1:
        _need_question(asked)
        row = {"prompt": [*map(message, with_system(example, asked))], "chosen": [*map(message, chosen)],
               "rejected": [*map(message, example.rejected)]}  # fmt: skip
        return [{**row, **beside(example)}]
    texts = {"prompt": example.prompt, "chosen": example.output, "rejected": example.rejected[0]["content"]}
    return [{**texts, **beside(example)}]


def kto(example: Example, *, messages: bool) -> list[dict[str, Any]]:
    """Return TRL's rows for KTO: an answer with its label; a pair makes two rows."""
    answers = [(example.answer, True), (example.rejected, False)]
    if not example.rejected and example.label is None:
        raise Unfit("no_label", "has neither a worse answer nor a label that says whether the answer is good")
    asked, rows = example.asked, list[dict[str, Any]]()
    for answer, good in answers:
        if not answer:
            continue
        if messages or example.messages or len(answer) != 1:
            _need_question(asked)
            rows.append({"prompt": [*map(message, with_system(example, asked))], "completion": [*map(message, answer)],
                         "label": good, **beside(example)})  # fmt: skip
        else:
            texts = {"prompt": example.prompt, "completion": answer[0]["content"]}
            rows.append({**texts, "label": good, **beside(example)})
    return rows


def openai_batch(example: Example) -> list[dict[str, Any]]:
    """Return a request for a batch file, without the answer. The user must add the model's name before sending it."""
    asked = example.asked
    _need_question(asked)
    tools = json.loads(example.tools) if isinstance(example.tools, str) else example.tools
    body = {
        "model": "",
        "messages": [*map(message, with_system(example, asked))],
        **({"tools": tools} if tools else {}),
    }
    id = example.id or made_id(example)
    return [{"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}]


def llama_factory(example: Example) -> list[dict[str, Any]]:
    """Return a row in LLaMA-Factory's ShareGPT form, a preference with `chosen` and `rejected`."""
    pair = _pair(example)
    turns = [*map(from_and_value, example.asked if pair else example.turns)]
    if not turns:
        raise Unfit("empty", "holds no text")
    row: dict[str, Any] = {"conversations": turns, "system": example.system}
    if pair:
        row |= {"chosen": from_and_value(pair[0]), "rejected": from_and_value(pair[1])}
    tools = example.tools
    if tools:
        row["tools"] = tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False)
    images = images_of(example)
    return [{**row, **({"images": images} if images else {})}]


def axolotl(example: Example) -> list[dict[str, Any]]:
    """Return a row for Axolotl's `chat_template` type, a preference for its `chat_template.default` of DPO."""
    pair = _pair(example)
    if pair is None:
        return [{"messages": [*map(message, with_system(example))], **beside(example)}]
    return [{"messages": [*map(message, with_system(example, example.asked))], "chosen": message(pair[0]),
             "rejected": message(pair[1]), **beside(example)}]  # fmt: skip


def _pair(example: Example) -> tuple[Turn, Turn] | None:
    """Return the chosen and the rejected answer, or None if one is missing. Raises Unfit if one has several turns."""
    if not example.rejected or not example.answer:
        return None
    if len(example.rejected) > 1 or len(example.answer) > 1:
        raise Unfit("long_answer", "has a chosen or rejected answer of several turns, where the format holds one")
    return example.answer[0], example.rejected[0]


def _need_question(asked: list[Turn]) -> None:
    if not asked:
        raise Unfit("no_instruction", "has no question")


def _is_medium(part: Any) -> bool:
    return isinstance(part, dict) and media_of(part) is not None


def _part(part: dict[str, Any]) -> dict[str, Any]:
    medium = media_of(part)
    if medium is not None:
        return {"type": "image"} if medium[0] == "image" else part
    return {"type": "text", "text": str(part.get("text", part.get("value", "")))}
