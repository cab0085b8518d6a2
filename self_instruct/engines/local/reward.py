"""Score answers with a reward model: a sequence classification model of transformers with one label.

Each text is a task and its answer as a chat, rendered with the model's template, or as a pair of texts without one.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from self_instruct.engines.local.chat_template import ChatTemplate
from self_instruct.engines.local.gguf import model_path
from self_instruct.engines.local.model_files import check_complete
from self_instruct.engines.local.placement import Placement, device, loading_options
from self_instruct.engines.local.tokenizer import context_length, explain, load_text
from self_instruct.errors import UserError
from self_instruct.hub import offline_if_unreachable

_OPTION = "--reward_model"


class RewardModel:
    """A reward model, on the accelerator if there is one. `revision` changes with its weights.

    Raises UserError if it cannot be loaded, or is no reward model.
    """

    def __init__(self, name: str) -> None:
        try:
            self._tokenizer, config, self.revision = load_text(name, elsewhere=True)
            self._model = _load(name, config)
            self._template = ChatTemplate(self._tokenizer, {}) if self._tokenizer.chat_template else None
        except UserError as error:
            raise UserError(str(error).replace("--model_name_or_path", _OPTION)) from error
        self._tokenizer.padding_side = "right"
        # The model takes the score from the last token that is not padding.
        self._model.config.get_text_config().pad_token_id = self._tokenizer.pad_token_id
        self._context = context_length(config, self._tokenizer)
        self._vocabulary = self._model.get_input_embeddings().weight.shape[0]

    def encode(self, task: str, answer: str) -> list[int] | None:
        """Return the tokens of a task and its answer, or None if they are more than the model's context."""
        if self._template is None:
            tokens = self._tokenizer(task, answer)["input_ids"]
        else:
            tokens = self._tokenizer(self._template.exchange(task, answer), add_special_tokens=False)["input_ids"]
        if max(tokens, default=0) >= self._vocabulary:
            raise UserError(f"{_OPTION}: the tokenizer belongs to another model, which has more tokens")
        return tokens if tokens and (self._context is None or len(tokens) <= self._context) else None

    def scores(self, texts: Sequence[list[int]]) -> list[float | None]:
        """Return the score of each text in one batch; None if it is not a finite number."""
        batch = self._tokenizer.pad({"input_ids": list(texts)}, return_tensors="pt").to(self._model.device)
        try:
            with torch.inference_mode():
                found = self._model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        except torch.OutOfMemoryError:
            raise UserError(
                f"{_OPTION}: a batch of {len(texts)} answers does not fit in memory; lower --reward_batch_size"
            ) from None
        return [score if math.isfinite(score) else None for score in found[:, 0].float().tolist()]


def _load(name: str, config: Any) -> Any:
    from transformers import AutoModelForSequenceClassification

    if config is None:
        raise UserError(f"{_OPTION} {name}: holds no config.json; give the folder or Hub id of a reward model")
    if config.num_labels != 1:
        raise UserError(
            f"{_OPTION} {name}: has {config.num_labels} labels, but a reward model has one, its score; give a sequence "
            "classification model with num_labels 1"
        )
    try:
        with offline_if_unreachable(name):
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                model_path(name), use_safetensors=True, output_loading_info=True, **loading_options(Placement(), config.dtype)
            )  # fmt: skip
        model, found = loaded
        model.eval().to(device())
    except Exception as error:  # a broken file can cause any exception in three libraries
        raise UserError(explain(name, error)) from error
    check_complete(name, found)
    return model
