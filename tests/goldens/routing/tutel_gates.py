"""Tutel's CosineTopKGate with the routing of its MOELayer: softmax, top-k, extract_critical."""
import torch
from torch.func import functional_call

import originals_by_path
from suite import WIDTH, Routed, Row, combined, repeatable

VERSION = "82af7aa"
FILES = {"tutel.gates.cosine_top": "tutel/gates/cosine_top.py", "tutel.impls.losses": "tutel/impls/losses.py",
         "tutel.impls.fast_dispatch": "tutel/impls/fast_dispatch.py"}
SHA256 = "71f80d3a1a5301c8f7be2b5eeb69d562ab3319df7e668bafa29d9e58fbdc2bec"


def load(folder):
    for name in ("tutel", "tutel.gates", "tutel.impls", "tutel.jit_kernels"):
        originals_by_path.stub(name)
    originals_by_path.stub("tutel.impls.jit_compiler", IS_HIP_EXTENSION=False)
    originals_by_path.stub("tutel.jit_kernels.sparse")
    originals_by_path.stub("tutel.jit_kernels.gating", fast_cumsum_sub_one=lambda mask: torch.cumsum(mask, dim=0) - 1)
    originals_by_path.stub("tutel.impls.communicate", get_world_rank=lambda group: 1, simple_all_reduce=lambda value, group=None, op=None: value)
    import sys
    del sys.modules["tutel.impls"].__getattr__  # `from . import losses` is to find the file below
    return originals_by_path.load(folder, FILES, SHA256, f"Tutel {VERSION}")


def rows(folder):
    modules = load(folder)
    gates, dispatch = modules["tutel.gates.cosine_top"], modules["tutel.impls.fast_dispatch"]

    def run(row, x, parameters, draws, training):
        gate, mode = row.gate, "train" if training else "eval"
        module = gates.CosineTopKGate(WIDTH, row.experts, gate["top_k"], proj_dim=gate["projection"])
        given = {"temperature": parameters["temperature"], "cosine_projector.weight": parameters["projection.weight"],
                 "cosine_projector.bias": parameters["projection.bias"], "sim_matrix": parameters["weight"].T}
        noisy = training and "noise" in gate
        with repeatable([draws["noise"]] if noisy else [], x.dtype):
            logits = functional_call(module, given, (x,))
            plain = logits
            if noisy:  # as MOELayer.forward has it
                logits = logits + gate["noise"] * torch.randn_like(logits) / row.experts
            (_, indices, places, weights, capacity, _), loss = dispatch.extract_critical(
                logits.softmax(dim=1), gate["top_k"], capacity_factor=gate["capacity"][mode] if "capacity" in gate else 0.0,
                normalize_gate=gate.get("normalize", True))
        indices, places, weights = (torch.stack(list(part), dim=1) for part in (indices, places, weights))
        indices = torch.where(places < capacity, indices.long(), -1)
        return Routed(combined(indices, weights, row.experts), indices, {"balance_loss": loss} if training else {}, logits=plain)

    def made(name, gate, experts, drawn=lambda shape: {}):
        gate = {"kind": "cosine", "projection": 6, "balance_loss": 0.3} | gate
        shapes = {"projection.weight": (6, WIDTH), "projection.bias": (6,), "weight": (experts, 6), "temperature": (1,)}
        return Row(f"cosine.tutel.{name}", "tutel", gate, shapes, run, experts, drawn, huge=1e3)

    yield made("k1", {"top_k": 1}, 5)
    yield made("k2", {"top_k": 2, "capacity": {"train": 1.0, "eval": 1.5}}, 5)
    yield made("noise", {"top_k": 2, "noise": 1.0, "z_loss": 0.2}, 4, lambda shape: {"noise": ((*shape, 4), "normal")})
    yield made("all", {"top_k": 3, "normalize": False}, 3)
    yield made("one", {"top_k": 1}, 1)
