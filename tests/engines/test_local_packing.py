"""Packed layers compared with ordinary ones."""

import pytest
import torch

from self_instruct.engines.local import packing
from self_instruct.engines.local.packing import PackedLinear, pack_linears

PACKS = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def layers(dtype: torch.dtype = torch.float32) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(48, 80), torch.nn.ReLU(), torch.nn.Linear(80, 33, bias=False)).to(dtype)


PACKS_BFLOAT16 = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512", reason="weights in bfloat16 are packed with AVX512 only"
)


@pytest.mark.skipif(not PACKS, reason="weights are packed on x86 CPUs only")
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=PACKS_BFLOAT16)])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2,), (3, 1), (2, 7), (16, 1), (1, 300)])
def test_a_packed_layer_gives_the_same_output(shape, dtype, monkeypatch):
    monkeypatch.setattr(packing, "multiplies_bfloat16", lambda: True)
    model, packed = layers(dtype), layers(dtype)
    assert pack_linears(packed) == 2
    assert isinstance(packed[0].forward, PackedLinear) and isinstance(packed[2].forward, PackedLinear)
    input = torch.randn(*shape, 48, dtype=dtype)
    with torch.inference_mode():
        expected, found = model(input), packed(input)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected)
    kept = packed[0].forward
    assert pack_linears(packed) == 2 and packed[0].forward is kept


def test_a_torch_that_does_not_describe_the_cpu_packs_float32_only(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not packing.multiplies_bfloat16()
    assert pack_linears(layers(torch.bfloat16)) == 0


def test_other_precisions_subclasses_and_large_models_are_not_packed(monkeypatch):
    class Quantised(torch.nn.Linear):
        pass

    monkeypatch.setattr(packing, "multiplies_bfloat16", lambda: False)
    assert pack_linears(layers(torch.float64)) == pack_linears(layers(torch.bfloat16)) == 0
    assert pack_linears(torch.nn.Sequential(Quantised(4, 4))) == 0
    monkeypatch.setattr(packing, "PACK_BYTES", 48 * 80 * 4)
    assert pack_linears(layers()) == 0
