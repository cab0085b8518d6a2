"""Replace options that are "auto" or missing by values that suit the model and the recipe."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import TokenCounter
from self_instruct.errors import UserError
from self_instruct.generation.assembly import AUTO, TWO_STEPS
from self_instruct.generation.config import Config

_log = logging.getLogger(__name__)


def with_earlier_choices(config: Config, earlier: Mapping[str, Any] | None) -> Config:
    """Return the configuration with the choices of an earlier launch in place of "auto": the recipe, the horizon,
    --answer_orphans and the variables of the chat template. `earlier` is the content of its run.yaml.

    If the run.yaml lacks these options, an earlier version wrote it, which used few_shot without orphans, left thinking on and
    did not check outputs.
    """
    before, prompt = (earlier or {}).get("options", {}), config.prompt
    prompt = replace(prompt, horizon=prompt.horizon or before.get("horizon"))
    if earlier is not None and "check_outputs" not in before:
        config = replace(config, filter=replace(config.filter, check_outputs=False))
    if earlier is not None and prompt.chat_template_kwargs == AUTO:
        prompt = replace(prompt, chat_template_kwargs=before.get("chat_template_kwargs"))
    config = replace(config, prompt=prompt)
    if earlier is None:
        return config
    return _without_auto(config, before.get("recipe", "few_shot"), before.get("answer_orphans", "never"))


def with_horizon(config: Config) -> Config:
    """Return the configuration with a horizon that suits its recipe, if none is set.

    It does not depend on the machine, because the plan must not change with the number of GPUs. Runs in several steps get a
    longer one: their requests differ much in length, and a short horizon would leave most rows of a batch empty. A long horizon
    has a cost: the first prompts show no accepted tasks, and the last tasks, up to as many as it is long, get no answer.
    """
    run, steps = config.run, 1 + (config.prompt.recipe in TWO_STEPS) + bool(config.verification.verify)
    usual = max(16, min(1024, run.num_instructions_to_generate // (50 if steps == 1 else 10)))
    longest = max(1, run.max_requests // steps) if steps > 1 and run.max_requests else usual
    horizon = config.prompt.horizon or min(usual, longest)
    return replace(config, prompt=replace(config.prompt, horizon=horizon))


def with_template(config: Config, reader: TokenCounter) -> Config:
    """Return the configuration with the variables of the model's chat template in place of "auto", and log how
    the template handles thinking.
    """
    arguments, prompt = getattr(reader, "template_arguments", {}), config.prompt
    switched = {name: value for name, value in thought_tags().switches.items() if arguments.get(name, None) is value}
    opened = getattr(getattr(reader, "template", None), "opened_thought", "")
    if switched:
        _log.info(
            "Thinking is turned off: the chat template gets %s; --chat_template_kwargs '{}' keeps the model's default.",
            ", ".join(f"{name}={json.dumps(value)}" for name, value in switched.items()),
        )
    elif opened:
        _log.info(
            "The chat template opens a thought (%s) before every answer: thoughts are cut off, and a prompt that begins the "
            "answer closes the thought first.", opened.strip(),
        )  # fmt: skip
    if prompt.chat_template_kwargs != AUTO:
        return config
    return replace(
        config, prompt=replace(prompt, chat_template_kwargs=json.dumps(dict(arguments)) if arguments else None)
    )


def for_model(config: Config, reader: TokenCounter) -> Config:
    """Return the configuration with a recipe that suits the model in place of "auto". Raises `UserError` if an option needs a
    chat template, and the model has none.
    """
    prompt, chats = config.prompt, getattr(reader, "chats", None)
    triggers = (prompt.instruction_trigger, prompt.input_trigger, prompt.output_trigger)
    recipe = "chat" if chats and not any(triggers) else "few_shot"
    chosen = _without_auto(config, recipe, "always" if chats and prompt.recipe in ("auto", "few_shot") else "never")
    needs = {
        f"--recipe {chosen.prompt.recipe}": chosen.prompt.recipe in TWO_STEPS,
        "--answer_orphans always": chosen.prompt.answer_orphans == "always",
        "--system_prompt": prompt.system_prompt is not None,
    }
    for option, given in needs.items():
        if given and chats is False:
            raise UserError(
                f"{option} needs a model with a chat template, and this one has none or does not use it; give an instruction-"
                "tuned model, or use --recipe few_shot without system messages"
            )
    return chosen


def _without_auto(config: Config, recipe: str, orphans: str) -> Config:
    """Return the configuration with these values in place of "auto". Only --recipe few_shot can answer orphans."""
    prompt = config.prompt
    recipe = recipe if prompt.recipe == "auto" else prompt.recipe
    orphans = orphans if prompt.answer_orphans == "auto" else prompt.answer_orphans
    orphans = orphans if recipe in ("few_shot", "auto") else "never"
    return replace(config, prompt=replace(prompt, recipe=recipe, answer_orphans=orphans))
