"""Pack the weights of linear layers for oneDNN on x86 CPUs, which makes small batches, and long ones in bfloat16, faster.

The results are the same up to rounding.
"""

from typing import Any

import torch

PACK_BYTES = 4 << 30
# With fewer rows than these, the plain product is faster.
FEWEST_ROWS = {torch.float32: 2, torch.bfloat16: 1}


def pack_linears(model: torch.nn.Module) -> int:
    """Pack copies of the weights of a model's linear layers and return how many layers were packed.

    The weights must not change afterwards. The copies double their memory, so models with more than `PACK_BYTES` of them are
    left unchanged, as are weights that are neither float32 nor, with AMX, bfloat16, or not on an x86 CPU.
    """
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear and _can_pack(layer)]
    if sum(layer.weight.nbytes for layer in layers) > PACK_BYTES:
        return 0
    for layer in layers:
        if not isinstance(layer.forward, PackedLinear):
            layer.forward = PackedLinear(layer)  # type: ignore[method-assign]
    return len(layers)


class PackedLinear:
    """The forward pass of a linear layer, with packed weights [out, in]."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        self._weight, self._bias = layer.weight, layer.bias
        self._fewest = FEWEST_ROWS[layer.weight.dtype] * layer.in_features
        with torch.inference_mode(False), torch.no_grad():
            self._packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)

    def __call__(self, input: torch.Tensor) -> torch.Tensor:
        """Map [..., in] to [..., out]."""
        if input.numel() < self._fewest:
            return torch.nn.functional.linear(input, self._weight, self._bias)
        return torch.ops.mkldnn._linear_pointwise(input, self._packed, self._bias, "none", [], "")


def multiplies_bfloat16() -> bool:
    """Return whether this CPU multiplies matrices of bfloat16 in hardware (AMX), faster than those of float32.

    Older versions of torch cannot tell; then the answer is no.
    """
    describe = getattr(torch.cpu, "get_capabilities", None)
    return describe is not None and bool(describe().get("amx_bf16"))


def _can_pack(layer: Any) -> bool:
    return (
        type(layer.weight.data) is torch.Tensor  # not a tensor that is sharded among processes
        and layer.weight.device.type == "cpu"
        and (layer.weight.dtype == torch.float32 or (layer.weight.dtype == torch.bfloat16 and multiplies_bfloat16()))
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
