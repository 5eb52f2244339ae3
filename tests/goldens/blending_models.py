"""Models that blend: a network whose layers' parameters are mixed for each sample, and SoftMoE, whose slots mix tokens.

Parameters carry moec's names. Sizes come from the caller; nothing here reads files or draws numbers.
"""
import torch
from torch import nn

from placement import Placement

LAYERS = ("first", "second", "y")


def run_mann(weights, x, gate_input):
    y, coefficients = mann({name: torch.from_numpy(value) for name, value in weights.items()}, torch.from_numpy(x), torch.from_numpy(gate_input))
    return y.numpy(), coefficients.numpy()


def mann(weights, value, hidden):
    """(y, coefficients) of x (B, in) and the gate's input (B, G): each sample gets matrices of its own, mixed of the experts'."""
    for i in range(4):
        hidden = nn.functional.linear(hidden, weights[f"gate.layers.{i}.weight"], weights[f"gate.layers.{i}.bias"])
        hidden = nn.functional.elu(hidden) if i < 3 else hidden
    coefficients = torch.softmax(hidden, dim=-1)
    for layer in LAYERS:
        weight, bias = (weights[f"{layer}.experts.layers.0.{kind}"] for kind in ("weight", "bias"))
        mixed = (coefficients @ weight.flatten(1)).view(len(value), *weight.shape[1:])  # (B, out, in)
        value = torch.baddbmm((coefficients @ bias)[:, :, None], mixed, value[:, :, None])[:, :, 0]
        value = nn.functional.elu(value) if layer != LAYERS[-1] else value
    return value, coefficients


class SlotExpert(nn.Module):
    """Linear, LayerNorm, ReLU, Linear, and, in the first version, LayerNorm and ReLU again."""

    def __init__(self, width, first_version):
        super().__init__()
        self.up, self.up_norm, self.down = nn.Linear(width, width), nn.LayerNorm(width), nn.Linear(width, width)
        self.down_norm = nn.LayerNorm(width) if first_version else None

    def forward(self, x):
        x = self.down(torch.relu(self.up_norm(self.up(x))))
        return x if self.down_norm is None else torch.relu(self.down_norm(x))


class SoftMoe(nn.Module):
    def __init__(self, width, experts, slots, first_version):
        super().__init__()
        self.phi = nn.Parameter(torch.empty(width, experts, slots))
        self.experts = nn.ModuleList(SlotExpert(width, first_version) for _ in range(experts))

    def forward(self, x, mask=None):  # (B, N, D), (B, N) of bool
        logits = torch.einsum("bnd,des->bnes", x, self.phi)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, :, None, None], -torch.finfo(logits.dtype).max)
        slots = torch.einsum("bnd,bnes->besd", x, logits.softmax(dim=1))
        outputs = torch.stack([expert(slots[:, e]) for e, expert in enumerate(self.experts)], dim=1)
        combine = logits.flatten(2).softmax(dim=-1).view_as(logits)
        return torch.einsum("bnes,besd->bnd", combine, outputs)


def build_soft_moe(weights, width, slots, first_version):
    """(model, its Placement)."""
    count = len(weights["y.experts.up.weight"])
    model = SoftMoe(width, count, slots, first_version)
    placement = Placement(weights)
    for name, parameter in model.named_parameters():
        if name == "phi":
            placement.set(parameter, "y.slots", lambda value: value.unflatten(0, (count, slots)).permute(2, 0, 1))
        else:
            _, number, layer, kind = name.split(".")
            placement.set(parameter, f"y.experts.{layer.replace('_norm', '.layer_norm')}.{kind}", lambda value, number=int(number): value[number])
    model.phi.data = model.phi.data.contiguous()
    return model, placement


def run_soft_moe(weights, x, mask, slots, first_version):
    """(y, number of parameters)."""
    model, placement = build_soft_moe(weights, x.shape[-1], slots, first_version)
    with torch.no_grad():
        y = model(torch.from_numpy(x), None if mask is None else torch.from_numpy(mask > 0))
        return y.numpy(), placement.count()
