"""PyTorch's side of whole models: the originals that the goldens are made with, with each form of their experts.

A builder takes (work, weights {moec's name: tensor}, form) and gives (module, results(inputs) -> {name: tensor}, loss(inputs) -> tensor).
"""
import math
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import expert_forms
from expert_forms import Shape

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "goldens"))


class Stack(nn.Module):
    """The matrices of all experts: (E, out, in), and biases (E, out)."""

    def __init__(self, weights, path):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weights[f"{path}.weight"].clone()), nn.Parameter(weights[f"{path}.bias"].clone())


class Experts(nn.Module):
    """Routed by `route(gate, x, training)` -> (weights, experts, balance loss or None), the first two (T, K); a dropped choice has the weight 0."""

    def __init__(self, weights, path, shape, form, route):
        super().__init__()
        experts, width = weights[f"{path}.gate.weight"].shape
        self.gate = nn.Linear(width, experts, bias=f"{path}.gate.bias" in weights)
        for name, parameter in self.gate.named_parameters():
            parameter.data = weights[f"{path}.gate.{name}"].clone()
        self.up, self.down = Stack(weights, f"{path}.experts.up"), Stack(weights, f"{path}.experts.down")
        self.shape, self.form, self.route, self.balance = shape, expert_forms.FORMS[form], route, None

    def forward(self, x):
        rows = x.flatten(0, -2)
        weights, chosen, self.balance = self.route(self.gate, rows, self.training)
        p = {"experts.up.weight": self.up.weight, "experts.up.bias": self.up.bias, "experts.down.weight": self.down.weight, "experts.down.bias": self.down.bias}
        return self.form(rows, p, self.shape, (weights, chosen)).view(x.shape)


def kept(chosen, experts, capacity):
    """Of choices (T, K): whether their expert still has a place for them, in the order of tokens."""
    taken = F.one_hot(chosen.flatten(), experts)
    place = ((taken.cumsum(dim=0) - 1) * taken).sum(dim=1)
    return (place < capacity).view_as(chosen)


def gshard(rates):
    def route(gate, x, training):
        values, chosen = torch.topk(gate(x), 2, dim=1)
        weights, experts = torch.softmax(values, dim=1), gate.out_features
        capacity = math.ceil(rates["train" if training else "eval"] * len(x)) * 2 // experts
        return (weights if capacity >= len(x) else weights * kept(chosen, experts, capacity)), chosen, None
    return route


def switch(rates):
    def route(gate, x, training):
        experts = gate.out_features
        scores = torch.softmax(gate(x), dim=1)
        weights, best = scores.max(dim=1, keepdim=True)
        shares = F.one_hot(best[:, 0], experts).to(x.dtype).mean(dim=0)
        capacity = int(len(x) * rates["train" if training else "eval"] / experts)
        return weights * kept(best, experts, capacity), best, experts * (shares * scores.mean(dim=0)).sum()
    return route


def vit(work, weights, form):
    import originals
    model = work.json()
    gate = model.get("blocks", {}).get("feed_forward", {}).get("gate")
    layers = iter(range(2))

    def feed_forward():
        i = next(layers)
        if not gate:
            return "mlp", originals.Mlp(32, 32)
        return "moe", Experts(weights, f"layers.{i}.moe", Shape(4, 2), form.removesuffix("-sdpa"), gshard(gate["capacity"]))

    module = originals.Vit({"dim": 32, "patch": 4, "channels": 3, "image": [32, 32], "depth": 2, "heads": 2, "head_dim": 64, "classes": 10}, feed_forward)
    if form.endswith("sdpa"):
        for layer in module.layers:
            layer.attention.forward = flash(layer.attention)
    module.load_state_dict({name.replace(".experts.", "."): value for name, value in weights.items()})
    return module, lambda inputs: {"scores": module(inputs["image"])}, lambda inputs: F.cross_entropy(module(inputs["image"]), inputs["label"])


def flash(attention):
    """The same attention through PyTorch's fused one."""
    def forward(x):
        q, k, v = (part.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for part in attention.qkv(x).chunk(3, dim=-1))
        return attention.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    return forward


def language(work, weights, form):
    import language_models
    model = work.json()
    arrays = {name: value.numpy() for name, value in weights.items()}
    mixture = dict(model["blocks"]["mixture"], experts={"count": model["let"]["experts"], "hidden": model["let"]["hidden"]})
    module, placement = language_models.build(model["let"], mixture, False, arrays, dropout=0.0)
    placement.count()
    if form != "loop":
        module.moe = Switch(weights, form, mixture["gate"])

    def loss(inputs):
        scores = module(inputs["tokens"], None)
        return F.cross_entropy(scores.flatten(0, 1), inputs["targets"].flatten()) + mixture["gate"]["balance_loss"] * module.moe.balance

    return module, lambda inputs: {"scores": module(inputs["tokens"], None)}, loss


class Switch(Experts):
    def __init__(self, weights, form, gate):
        super().__init__(weights, "moe", Shape(len(weights["moe.gate.weight"]), 1, "relu"), form, switch(gate["capacity"]))

    def forward(self, x, draws):
        return super().forward(x)


def lucidrains(work, weights, form):
    import lucidrains_package
    gate = work.json()["blocks"]["mixture"]["gate"]
    in_order = dict(sorted(weights.items(), key=lambda item: ".down." in item[0]))  # a file sorts names; the package's matrices come up first
    module, placement, _ = lucidrains_package.build(gate, {name: value.numpy() for name, value in in_order.items()})
    placement.count()

    def loss(inputs):
        y, balance = module(inputs["x"])
        return F.mse_loss(y, inputs["target"]) + balance

    return module, lambda inputs: {"moe": module(inputs["x"])[0]}, loss


class Chain(nn.Module):
    """Layers of (E, out, in) and (E, out), by moec's names without their dots."""

    def __init__(self, weights):
        super().__init__()
        count = len(weights) // 2
        self.matrices = nn.ParameterList(weights[f"experts.layers.{i}.weight"].clone() for i in range(count))
        self.biases = nn.ParameterList(weights[f"experts.layers.{i}.bias"].clone() for i in range(count))


def batched_experts(work, weights, form):
    module = Chain(weights)
    layers = len(module.matrices)

    def act(value, i):
        return torch.tanh(value) if i == layers - 1 else torch.relu(value)

    def batched(x):
        value = x.expand(len(module.matrices[0]), *x.shape)
        for i in range(layers):
            value = act(torch.baddbmm(module.biases[i][:, None], value, module.matrices[i].transpose(1, 2)), i)
        return value

    def loop(x):
        outs = []
        for e in range(len(module.matrices[0])):
            value = x
            for i in range(layers):
                value = act(F.linear(value, module.matrices[i][e], module.biases[i][e]), i)
            outs.append(value)
        return torch.stack(outs)

    experts = {"batched": batched, "loop": loop}[form]
    blend = lambda inputs, value: torch.einsum("e,eto->to", inputs["blend"], value)

    def results(inputs):
        value = experts(inputs["x"])
        return {"experts": value, "spread": torch.var(value, dim=0), "y": blend(inputs, value)}

    return module, results, lambda inputs: F.mse_loss(blend(inputs, experts(inputs["x"])), inputs["target"])


BUILDERS = {"vit": vit, "vit-moe": vit, "switch-lm": language, "lucidrains-moe": lucidrains, "batched-experts": batched_experts}
