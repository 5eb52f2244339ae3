"""Soft mixtures as their packages run them: soft-moe-pytorch's two classes, bwconrad's wrapper, and the paper's equations.

Parameters carry moec's names. Sizes come from the caller; nothing here draws numbers.
"""
import importlib.util
from pathlib import Path

import torch
from torch import nn

import injected
from placement import Placement

VERSION = "0.1.9"  # of soft-moe-pytorch
WRAPPER_COMMIT = "4a6482a"  # of bwconrad/soft-moe


def load_wrapper(checkout):
    """The class SoftMoELayerWrapper of a checkout of bwconrad/soft-moe."""
    spec = importlib.util.spec_from_file_location("bwconrad_soft_moe", Path(checkout) / "soft_moe" / "soft_moe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SoftMoELayerWrapper


def whole_feed_forward(layers, e, placement):
    """A feed-forward's two Linears, the first of which may hold both halves of a GEGLU: the values, then the gate."""
    first, last = layers[0], layers[-1]
    gated = "y.experts.gate.weight" in placement.weights
    for kind in ("weight", "bias"):
        if gated:
            hidden = getattr(first, kind).shape[0] // 2
            parameter = getattr(first, kind)
            joined = torch.cat([placement.weights[f"y.experts.{half}.{kind}"][e] for half in ("up", "gate")])
            parameter.data = joined.clone()
            placement.halves.append((parameter, e, kind, hidden))
        else:
            placement.set(getattr(first, kind), f"y.experts.up.{kind}", lambda value: value[e])
        placement.set(getattr(last, kind), f"y.experts.down.{kind}", lambda value: value[e])


class Joined(Placement):
    """Parameters some of which hold two of moec's, one behind the other."""

    def __init__(self, weights):
        super().__init__(weights)
        self.halves = []  # (parameter, expert, kind, rows of a half)

    def gradients(self):
        result = super().gradients()
        for parameter, e, kind, hidden in self.halves:
            for number, half in enumerate(("up", "gate")):
                result[f"y.experts.{half}.{kind}"][e] = parameter.grad[number * hidden:(number + 1) * hidden].numpy()
        return result


def build(kind, weights, wrapper):
    """(model, its Placement) of a case's "kind"."""
    placement = Joined(weights)
    count, width = weights["y.experts.down.weight"].shape[:2]
    gated = "y.experts.gate.weight" in weights
    hidden = weights["y.experts.down.weight"].shape[2]
    mult = (hidden + 0.5) * (1.5 if gated else 1.0) / width  # the packages take the whole part of a product with it
    if kind in ("rms", "layer"):
        from soft_moe_pytorch.soft_moe import SoftMoE
        slots = len(weights["y.slots"]) // count
        model = SoftMoE(width, num_slots=slots, num_experts=count, expert_mult=mult, geglu=gated, use_layernorm=kind == "layer")
        placement.set(model.slot_embeds, "y.slots", lambda value: value.unflatten(0, (count, slots)))
        placement.set(model.norm.gamma, "y.norm.weight")
        placement.set(model.slot_norm.gamma, "y.slot_norm.weight")
        experts = model.experts.experts
    elif kind == "dynamic":
        from soft_moe_pytorch.soft_moe_with_dynamic_slots import DynamicSlotsSoftMoE
        model = DynamicSlotsSoftMoE(width, num_experts=count, expert_mult=mult, geglu=gated)
        placement.set(model.norm.gamma, "y.norm.weight")
        placement.set(model.to_slot_embeds[0].weight, "y.to_slots.weight")
        placement.set(model.to_slot_embeds[2].gamma, "y.slot_norm.weight")
        experts = model.experts
    else:
        slots = len(weights["y.slots"]) // count
        feed_forward = lambda: nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        model = (wrapper if kind == "l2" else Paper)(width, count, slots, feed_forward)
        placement.set(model.phi, "y.slots", lambda value: value.unflatten(0, (count, slots)).permute(2, 0, 1))
        model.phi.data = model.phi.data.contiguous()
        placement.set(model.scale, "y.scale")
        experts = model.experts
    for e, layers in enumerate(experts):
        whole_feed_forward(layers, e, placement)
    return model.to(placement.weights["y.experts.down.weight"].dtype), placement


class Paper(nn.Module):
    """arXiv 2308.00951, equations (1) to (3) with section 2.3: the products are of normalised vectors, the slots of tokens as they come."""

    def __init__(self, width, count, slots, feed_forward):
        super().__init__()
        self.phi, self.scale = nn.Parameter(torch.empty(width, count, slots)), nn.Parameter(torch.ones(1))
        self.experts = nn.ModuleList(feed_forward() for _ in range(count))

    def forward(self, x):
        phi = self.scale * nn.functional.normalize(self.phi, dim=0)
        logits = torch.einsum("bnd,des->bnes", nn.functional.normalize(x, dim=-1), phi)
        slots = torch.einsum("bnes,bnd->besd", logits.softmax(dim=1), x)
        outputs = torch.stack([expert(slots[:, e]) for e, expert in enumerate(self.experts)], dim=1)
        return torch.einsum("bnes,besd->bnd", logits.flatten(2).softmax(dim=-1).view_as(logits), outputs)


def run(model, x, mask, draws, noise):
    """y of x; `draws` (B, N, E * S) are the noise's, or None."""
    arguments = {} if mask is None else {"mask": mask > 0}
    if draws is None:
        return model(x, **arguments)
    draws = torch.from_numpy(draws).view(*draws.shape[:2], *model.slot_embeds.shape[:2])
    with injected.uniform([draws]):
        return model(x, add_noise=True, noise_mult=noise, **arguments)
