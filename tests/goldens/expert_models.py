"""Experts as their sources run them: Mixtral's and Qwen2-MoE's layers of transformers, st-moe-pytorch's expert, FastMoE with a
list of expert classes, and networks with norms and residuals behind FastMoE's gate.

Parameters carry moec's names. Sizes come from the caller; nothing here reads files or draws numbers.
"""
import sys
import types

import torch
from torch import nn

import fastmoe_on_cpu


def tensors(weights):
    return {name: torch.from_numpy(value) for name, value in weights.items()}


# --- transformers: y of x (B, N, D) ---

def fused(weights, path):
    """gate_up_proj (E, 2H, D): the gate is the first half."""
    return torch.cat([weights[f"{path}.gate.weight"], weights[f"{path}.up.weight"]], dim=-2)


def run_mixtral(weights, x, choices):
    with torch.no_grad():
        return mixtral(tensors(weights), torch.from_numpy(x), choices)[0].numpy()


def mixtral(weights, x, choices):
    """(y, the router's logits) of x (B, N, D), by weights that may gather gradients."""
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
    count, hidden, width = weights["y.experts.gate.weight"].shape
    config = MixtralConfig(hidden_size=width, intermediate_size=hidden, num_local_experts=count, num_experts_per_tok=choices)
    config._experts_implementation = "eager"
    state = {"gate.weight": weights["y.gate.weight"], "experts.gate_up_proj": fused(weights, "y.experts"), "experts.down_proj": weights["y.experts.down.weight"]}
    logits = []
    layer = MixtralSparseMoeBlock(config)
    layer.gate.register_forward_hook(lambda _, __, result: logits.append(result[0]))
    return torch.func.functional_call(layer, state, (x,)), logits[0]


def run_qwen2_moe(weights, x, choices):
    from transformers import Qwen2MoeConfig
    from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeSparseMoeBlock
    weights = tensors(weights)
    count, hidden, width = weights["y.experts.gate.weight"].shape
    config = Qwen2MoeConfig(hidden_size=width, moe_intermediate_size=hidden, num_experts=count, num_experts_per_tok=choices, norm_topk_prob=False,
                            shared_expert_intermediate_size=len(weights["y.shared.gate.weight"]))
    config._experts_implementation = "eager"
    layer = Qwen2MoeSparseMoeBlock(config).eval()
    state = {"gate.weight": weights["y.gate.weight"], "experts.gate_up_proj": fused(weights, "y.experts"),
             "experts.down_proj": weights["y.experts.down.weight"], "shared_expert_gate.weight": weights["y.shared_gate.weight"]}
    state |= {f"shared_expert.{part}_proj.weight": weights[f"y.shared.{part}.weight"] for part in ("gate", "up", "down")}
    layer.load_state_dict(state)
    with torch.no_grad():
        return layer(torch.from_numpy(x)).numpy()


def run_gpt_oss(weights, x, choices):
    """Gate and up take turns in one matrix."""
    from transformers import GptOssConfig
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssMLP
    weights = tensors(weights)
    count, hidden, width = weights["y.experts.gate.weight"].shape
    config = GptOssConfig(hidden_size=width, intermediate_size=hidden, num_local_experts=count, num_experts_per_tok=choices)
    config._experts_implementation = "eager"
    layer = GptOssMLP(config).eval()
    turns = {kind: torch.stack([weights[f"y.experts.gate.{kind}"], weights[f"y.experts.up.{kind}"]], dim=2).flatten(1, 2) for kind in ("weight", "bias")}
    layer.load_state_dict({"router.weight": weights["y.gate.weight"], "router.bias": weights["y.gate.bias"], "experts.gate_up_proj": turns["weight"].mT,
                           "experts.gate_up_proj_bias": turns["bias"], "experts.down_proj": weights["y.experts.down.weight"].mT,
                           "experts.down_proj_bias": weights["y.experts.down.bias"]})
    with torch.no_grad():
        return layer(torch.from_numpy(x))[0].numpy()


# --- st-moe-pytorch ---

ST_MOE_VERSION = "0.1.8"


def run_st_moe(weights, x):
    """Its expert: the gate is the second half of the first layer. A module that only its router's options need is left out."""
    sys.modules.setdefault("colt5_attention", types.ModuleType("colt5_attention")).topk = None
    from st_moe_pytorch.st_moe_pytorch import Expert
    weights = tensors(weights)
    hidden, width = weights["y.gate.weight"].shape
    expert = Expert(width, hidden_mult=hidden * 3 / 2 / width)
    first, geglu, last = expert.net
    first.weight.data, first.bias.data = (torch.cat([weights[f"y.up.{kind}"], weights[f"y.gate.{kind}"]]) for kind in ("weight", "bias"))
    geglu.mult_bias.data = weights["y.multiplier"]
    last.weight.data, last.bias.data = weights["y.down.weight"], weights["y.down.bias"]
    with torch.no_grad():
        return expert(torch.from_numpy(x)).numpy()


# --- FastMoE with modules of one's own as experts ---

def run_fastmoe(fmoe, weights, x, choices, makers, mask=None, mask_dict=None):
    """`makers`: for each expert, a function of its width that gives a module of rows (R, D)."""

    class Called(nn.Module):  # FastMoE hands experts the counts of their rows, too
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, rows, _):
            return self.module(rows)

    layer = fmoe.FMoE(d_model=x.shape[-1], top_k=choices, gate=fmoe.gates.NaiveGate, expert=[lambda width, make=make: Called(make(width)) for make in makers],
                      mask=None if mask is None else torch.from_numpy(mask), mask_dict=mask_dict)
    weights = tensors(weights)
    layer.gate.gate.weight.data, layer.gate.gate.bias.data = weights["y.gate.weight"], weights["y.gate.bias"]
    rows = torch.from_numpy(x).flatten(0, 1)
    with torch.no_grad(), fastmoe_on_cpu.repeatable([]):
        return layer(rows).view(x.shape).numpy()


def linear(weights, path, e):
    weight, bias = torch.from_numpy(weights[f"{path}.weight"][e]), torch.from_numpy(weights[f"{path}.bias"][e])
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight, bias
    return layer


class NormedMlp(nn.Module):
    """x + act(norm(linear(x))) where the widths agree, else without x; act is ReLU, and nothing behind the last layer."""

    def __init__(self, weights, path, e):
        super().__init__()
        depth = sum(name.startswith(path + ".layers.") and name.endswith("layer_norm.bias") for name in weights)
        self.layers = nn.ModuleList(linear(weights, f"{path}.layers.{i}", e) for i in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(len(layer.bias)) for layer in self.layers)
        for i, norm in enumerate(self.norms):
            norm.weight.data, norm.bias.data = (torch.from_numpy(weights[f"{path}.layers.{i}.layer_norm.{kind}"][e]) for kind in ("weight", "bias"))

    def forward(self, x):
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms)):
            y = norm(layer(x))
            y = torch.relu(y) if i + 1 < len(self.layers) else y
            x = x + y if x.shape[-1] == y.shape[-1] else y
        return x
