"""Complete requests with vLLM: they are added one by one, and each is returned when it has finished.

This module encodes the prompts, so they are the same as in the other engines. It does not ask for several completions of one
request (`n`): each completion has its own seed, and a prompt that was read before is in vLLM's prefix cache.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from self_instruct.engines.base import Completion, EngineLost, FinishReason, Hardware, Request, Sampling, timestamp
from self_instruct.engines.local.generation_settings import unused_settings
from self_instruct.engines.local.gguf import model_path
from self_instruct.engines.local.placement import Machine
from self_instruct.engines.local.stopping import StopMatcher, TurnDecoder
from self_instruct.engines.local.tokenizer import (
    PromptEncoder,
    context_length,
    end_tokens,
    load_text,
    read_generation_config,
    unusable,
)
from self_instruct.engines.repetition import repeats
from self_instruct.engines.vllm.arguments import VllmOptions, sampling_parameters
from self_instruct.engines.vllm.reaper import Reaper
from self_instruct.engines.vllm.starting import Output, check_installed, start, version
from self_instruct.engines.vllm.stepping import Stepper
from self_instruct.errors import FILE_ONLY

_log = logging.getLogger(__name__)


@dataclass
class _Active:
    """A request that vLLM works on, with its tokens so far. `thought` is the unfinished thought at the end of the prompt."""

    request: Request
    prompt: list[int]
    stop_repetition: bool
    thought: str
    tokens: list[int] = field(default_factory=list)

    def extend(self, tokens: Sequence[int], finished: bool, matcher: StopMatcher) -> FinishReason | None:
        """Append new tokens. Return "stop" or "repetition" if one of them completes a stop text or a loop, else None.

        Tokens after that one are dropped, so that the text is the same as from an engine that checks every token.
        """
        for count, token in enumerate(tokens, 1):
            self.tokens.append(token)
            last = finished and count == len(tokens)
            if matcher.reached(self.tokens, self.request.stop, self.thought):
                return "stop"
            if self.stop_repetition and not last and repeats(self.tokens):
                return "repetition"
        return None


class VllmEngine:
    """Completes requests with `engine`, a vLLM engine whose processes `reaper` ends.

    `ends` are the tokens that end a completion. `on_step` is called with the number of tokens that a step returned.
    """

    def __init__(
        self,
        engine: Any,
        reaper: Reaper,
        output: Output,
        tokenizer: Any,
        ends: frozenset[int],
        revision: str,
        sampling: Sampling,
        encoder: PromptEncoder,
        hardware: Hardware,
        rank: int = 0,
        on_step: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self.model_revision, self.method = revision, f"vllm {version()}"
        self.hardware, self.on_step = hardware, on_step
        self.rows: int = engine.vllm_config.scheduler_config.max_num_seqs
        self._engine, self._reaper, self._output = engine, reaper, output
        self._stepper = Stepper(engine.step, reaper.lost)
        self._matcher, self._decoder = StopMatcher(tokenizer), TurnDecoder(tokenizer)
        self._encoder, self._ends = encoder, ends
        self._sampling, self._rank = sampling, rank
        self._active: dict[str, _Active] = {}
        self._refused: list[Completion] = []
        self._interrupted = False

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests. One whose prompt is unusable ends as an error; the others are not affected."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        config = self._engine.vllm_config.model_config
        for request in requests:
            sampling = request.sampling or self._sampling
            prompt = self._encoder.encode(request.prompt, request.opening, request.system, request.raw)
            reason = unusable(prompt, sampling.max_new_tokens, config.max_model_len, config.get_vocab_size())
            if reason is None:
                parameters = sampling_parameters(sampling, request.seed, self._ends)
                if request.pattern:
                    parameters["structured_outputs"] = _structured(request.pattern)
                thought = self._encoder.thought(request.opening, request.raw)
                active = _Active(request, prompt, sampling.stop_repetition, thought)
                reason = self._add(active, SamplingParams(**parameters, output_kind=RequestOutputKind.DELTA))
            if reason is not None:
                self._refused.append(
                    Completion(request.index, "", "error", len(prompt), 0, self._rank, timestamp(), reason)
                )

    def poll(self) -> list[Completion]:
        """Generate until at least one request has ended. Raises EngineLost if vLLM's processes have ended."""
        finished, self._refused = self._refused, []
        while not finished and self._active and not self._interrupted:
            try:
                outputs = self._stepper.step()
            except Exception as error:
                if self._interrupted:
                    break
                raise self._engine_lost(error) from error
            finished += self._read(outputs)
        return finished

    def interrupt(self) -> None:
        """Stop after the current step; only finished requests are returned."""
        self._interrupted = True

    def close(self) -> None:
        """Drop pending requests and end vLLM's processes."""
        self._active.clear()
        self._stepper.close()
        self._reaper.close()
        self._output.close()

    def _add(self, active: _Active, parameters: Any) -> str | None:
        """Add a request to vLLM's engine; return why vLLM refuses it, or None."""
        from vllm.exceptions import VLLMClientError

        try:
            self._engine.add_request(str(active.request.index), {"prompt_token_ids": active.prompt}, parameters)
        except (VLLMClientError, ValueError) as error:
            return f"vLLM refused the request: {error}"
        except Exception as error:
            raise self._engine_lost(error) from error
        self._active[str(active.request.index)] = active
        return None

    def _read(self, outputs: Sequence[Any]) -> list[Completion]:
        finished, drawn, created = [], 0, timestamp()
        for output in outputs:
            active, (text,) = self._active[output.request_id], output.outputs
            reason = active.extend(text.token_ids, output.finished, self._matcher)
            drawn += len(text.token_ids)
            if reason and not output.finished:
                with suppress(Exception):  # if vLLM has ended, the next step says so
                    self._engine.abort_request([output.request_id])
            if reason or output.finished:
                del self._active[output.request_id]
                finished.append(self._completion(active, reason or text.finish_reason, created))
        self.on_step(drawn)
        return finished

    def _completion(self, active: _Active, reason: Any, created: str) -> Completion:
        request, tokens = active.request, active.tokens
        done = Completion(request.index, "", "error", len(active.prompt), len(tokens), self._rank, created)
        if reason not in ("stop", "length", "repetition"):
            return replace(done, completion_tokens=0, error=f"vLLM ended the request ({reason})")
        text, thought = self._decoder.completion(tokens, self._ends, request.stop, active.thought)
        return replace(done, text=text, finish_reason=reason, reasoning_tokens=thought)

    def _engine_lost(self, error: Exception) -> EngineLost:
        _log.error("vLLM has printed:\n%s", self._output.tail(), extra=FILE_ONLY)
        return EngineLost(f"vLLM's engine has ended ({self._output.reason(error)})")


def load_vllm(
    name: str,
    revision: str | None,
    trust_remote_code: bool,
    options: VllmOptions,
    sampling: Sampling,
    max_length: int | None,
    chat_template: str,
    rank: int,
    processes: int,
    on_step: Callable[[int], None],
    template_arguments: Mapping[str, Any] | None = None,
) -> VllmEngine:
    """Load a model into vLLM, on the devices of this process. Raises UserError and EngineLost as `start` does."""
    check_installed()
    tokenizer, config, found_revision = load_text(name, revision, trust_remote_code)
    encoder = PromptEncoder(tokenizer, chat_template, template_arguments)
    folder, machine = model_path(name), Machine.here(processes)
    context = context_length(config, tokenizer)
    longest = min((length for length in (context, max_length) if length), default=None)
    defaults = read_generation_config(folder, revision)
    ends = end_tokens(defaults, config, tokenizer)
    if rank == 0 and (unused := unused_settings(defaults, sampling)):
        _log.info("Not used from the model's generation_config.json: %s.", unused)
    engine, reaper, output = start(folder, revision, trust_remote_code, options, longest, machine)
    return VllmEngine(
        engine, reaper, output, tokenizer, ends, found_revision, sampling, encoder, _hardware(options, machine.kind), rank,
        on_step,
    )  # fmt: skip


def _hardware(options: VllmOptions, kind: str) -> Hardware:
    """Return the devices of an engine. vLLM takes its share of the memory at the start, so this share is the peak memory."""
    from vllm.platforms import current_platform

    memory = current_platform.get_device_total_memory()
    if kind == "cpu":
        return Hardware("CPU", 0, 0, memory)
    share = options.gpu_memory_utilization or 0.9
    memory *= options.devices
    return Hardware(current_platform.get_device_name(), options.devices, int(share * memory), memory)


def _structured(pattern: str) -> Any:
    """Return vLLM's parameter that makes it allow only tokens with which the text can match a pattern."""
    from vllm.sampling_params import StructuredOutputsParams

    return StructuredOutputsParams(regex=pattern)
