"""PyTorch's side of a training: the originals of tests/goldens, with the weights that moec began with.

build(model, weights, fmoe) gives a Trained for a model's JSON; `weights` have moec's names, and every one of them is used.
"""
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "goldens"))
import blending_models  # noqa: E402
import fastmoe_on_cpu  # noqa: E402
import language_goldens  # noqa: E402
import language_models  # noqa: E402
import lucidrains_package  # noqa: E402
import originals  # noqa: E402
from golden_case import vit_feed_forward, vit_size  # noqa: E402
from placement import Placement  # noqa: E402


class Trained:
    """`predict(batch)` gives (prediction, aux losses times their coefficients); `target`: the field that the loss compares it with."""

    def __init__(self, module, predict, target):
        self.module, self.predict, self.target = module, predict, target

    def losses(self, batch):
        """(the task's loss, what is learnt from, prediction)."""
        prediction, aux = self.predict(batch)
        target = batch[self.target]
        if target.is_floating_point():
            loss = nn.functional.mse_loss(prediction, target)
        else:
            loss = nn.functional.cross_entropy(prediction.flatten(0, -2), target.flatten())
        return loss, loss + aux, prediction


class Named(nn.Module):
    """Parameters by moec's names, for originals that are functions of them."""

    def __init__(self, weights):
        super().__init__()
        self.names, self.parameter_list = list(weights), nn.ParameterList(torch.from_numpy(value.copy()) for value in weights.values())

    def by_name(self):
        return dict(zip(self.names, self.parameter_list))


def vit(model, weights, fmoe):
    """FastMoE's gate without random routing, and without its loss, which the zoo's model does not have."""
    module = originals.build_vit(fmoe, vit_size(model), vit_feed_forward(model), "f32", [])
    originals.placed(module, weights).count()

    def predict(batch):
        with fastmoe_on_cpu.repeatable(iter(())):
            return module(batch["image"]), 0.0

    return Trained(module, predict, "label")


def soft_vit(model, weights, fmoe):
    """vit with the newest version of SoftMoE in the place of its mlp."""
    size, block = vit_size(model), vit_feed_forward(model)
    slots, count = block["slots"], block["experts"]["count"]
    assert block["experts"]["hidden"] == size["dim"] and block["experts"]["layer_norm"]
    module = originals.Vit(size, lambda: ("soft_moe", blending_models.SoftMoe(size["dim"], count, slots, first_version=False))).to(originals.DTYPES[model.get("dtype", "f32")])
    placement = Placement(weights)
    for name, parameter in module.named_parameters():
        if name.endswith(".phi"):
            placement.set(parameter, name.replace(".phi", ".slots"), lambda value: value.unflatten(0, (count, slots)).permute(2, 0, 1).contiguous())
        elif ".experts." in name:  # layers.0.soft_moe.experts.3.up_norm.weight
            scope, rest = name.split(".experts.")
            number, layer, kind = rest.split(".")
            placement.set(parameter, f"{scope}.experts.{layer.replace('_norm', '.layer_norm')}.{kind}", lambda value, number=int(number): value[number])
        else:
            placement.set(parameter, name)
    placement.count()
    return Trained(module, lambda batch: (module(batch["image"]), 0.0), "label")


def language(model, weights, fmoe):
    """The balance loss of the Switch with its coefficient."""
    mixture = language_goldens.resolved(model["blocks"]["mixture"], model["let"])
    deep_head = any(block["kind"] == "dropout" for block in model["model"])
    module, placement = language_models.build(model["let"], mixture, deep_head, weights, dropout=0.0)
    placement.count()

    def predict(batch):
        scores, gate = module(batch["tokens"], None), module.moe
        return scores, gate.settings["balance_loss"] * gate.balance if gate.balance is not None else 0.0

    return Trained(module, predict, "targets")


def batched_experts(model, weights, fmoe):
    """Its experts as batched products, blended by numbers that all records share."""
    module = Named(weights)
    depth = len(weights) // 2

    def predict(batch):
        parameters, blend = module.by_name(), batch["blend"]
        value = batch["x"].expand(len(blend), *batch["x"].shape)
        for i in range(depth):
            value = torch.baddbmm(parameters[f"experts.layers.{i}.bias"][:, None], value, parameters[f"experts.layers.{i}.weight"].transpose(1, 2))
            value = torch.tanh(value) if i == depth - 1 else torch.relu(value)
        return torch.einsum("e,eto->to", blend, value), 0.0

    return Trained(module, predict, "target")


def mann(model, weights, fmoe):
    module = Named(weights)
    return Trained(module, lambda batch: (blending_models.mann(module.by_name(), batch["x"], batch["x"])[0], 0.0), "target")


def hierarchical(model, weights, fmoe):
    """lucidrains' HeirarchicalMoE with a policy that draws nothing; its balance losses with their coefficient."""
    gate = dict(model["blocks"]["mixture"]["gate"])
    gate["outer"] = model["let"]["outer"]
    in_order = dict(sorted(weights.items(), key=lambda item: ".experts.down." in item[0]))  # a file sorts names; the package's matrices come up first
    layer, placement, _ = lucidrains_package.build(gate, in_order)
    placement.count()

    def predict(batch):
        with lucidrains_package.repeatable([], []):
            return layer(batch["x"])

    return Trained(layer, predict, "target")


KINDS = {"vit": vit, "vit-moe": vit, "soft-moe-vit": soft_vit, "switch-lm": language, "gating-lm": language, "batched-experts": batched_experts, "mann": mann, "hierarchical": hierarchical}


def build(model, weights, fmoe):
    return KINDS[model["name"]](model, weights, fmoe)
