"""Routers of Hugging Face transformers: Mixtral, OLMoE, Qwen3-MoE, GPT-OSS, SwitchTransformers, DeepSeek-V2 and -V3, Ernie 4.5, MiniMax-M2."""
import importlib.metadata
import types

import torch
from torch.func import functional_call
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2TopkRouter
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter
from transformers.models.ernie4_5_moe.modeling_ernie4_5_moe import Ernie4_5_MoeTopKRouter
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssTopKRouter
from transformers.models.minimax_m2.modeling_minimax_m2 import MiniMaxM2TopKRouter
from transformers.models.mixtral.modeling_mixtral import MixtralTopKRouter, load_balancing_loss_func
from transformers.models.olmoe.modeling_olmoe import OlmoeTopKRouter
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeTopKRouter
from transformers.models.switch_transformers import modeling_switch_transformers as switch_transformers

from suite import BATCHED, FLAT, WIDTH, Routed, Row, combined, repeatable

VERSION = importlib.metadata.version("transformers")
FLOAT = {"values": 1e-5, "gradients": 1e-5}  # sums its balance loss in f32 whatever the model's dtype


def run_top_k(router):
    def run(row, x, parameters, draws, training):
        gate = row.gate
        config = types.SimpleNamespace(num_experts_per_tok=gate["top_k"], num_local_experts=row.experts, num_experts=row.experts, hidden_size=WIDTH,
                                       norm_topk_prob=gate.get("normalize", False))
        tokens = None
        if training and "jitter" in gate:  # as MixtralSparseMoeBlock multiplies what router and experts see
            jitter = gate["jitter"]
            tokens = x * (1.0 - jitter + 2.0 * jitter * torch.from_numpy(draws["jitter"]).to(x.dtype)).reshape(x.shape)
        with repeatable([], x.dtype):
            logits, weights, indices = functional_call(router(config), dict(parameters), ((x if tokens is None else tokens).reshape(-1, WIDTH),))
            aux = {"balance_loss": load_balancing_loss_func((logits,), row.experts, gate["top_k"])} if "balance_loss" in gate else {}
        return Routed(combined(indices, weights, row.experts), indices, aux if training else {}, tokens)
    return run


def run_switch(row, x, parameters, draws, training):
    """One sparse layer: its losses are what the model's are for one."""
    gate = row.gate
    config = types.SimpleNamespace(num_experts=row.experts, expert_capacity=gate["expert_capacity"], hidden_size=WIDTH, router_bias=False,
                                   router_jitter_noise=gate["jitter"], router_ignore_padding_tokens=False, router_dtype=str(x.dtype).removeprefix("torch."))
    router, tokens = switch_transformers.SwitchTransformersTop1Router(config).train(training), x.clone()
    used = [draws["jitter"].reshape(x.shape)] if training and gate["jitter"] else []
    with repeatable(used, x.dtype):
        mask, weights, logits = functional_call(router, {"classifier.weight": parameters["weight"]}, (tokens,))  # multiplies `tokens` in place
        first = logits.softmax(dim=-1).argmax(dim=-1)
        aux = {"balance_loss": switch_transformers.load_balancing_loss_func(logits.softmax(dim=-1), first[..., None]),
               "z_loss": switch_transformers.router_z_loss_func(logits)} if training else {}
    indices = torch.where(mask.sum(dim=-1) > 0, first, -1).reshape(-1, 1)
    return Routed(combined(indices, weights.reshape(-1, 1), row.experts), indices, aux, tokens)


def excess(indices, experts, bias):
    """What makes the bias learn (arXiv 2408.15664): its gradient is the rows of each expert beyond the mean."""
    load = torch.bincount(indices.flatten(), minlength=experts).to(bias.dtype)
    return ((load - load.mean()) * bias).sum()


def run_sigmoid(router):
    def run(row, x, parameters, draws, training):
        gate = row.gate
        config = types.SimpleNamespace(
            num_experts_per_tok=gate["top_k"], num_local_experts=row.experts, num_experts=row.experts, hidden_size=WIDTH, n_group=gate.get("groups", 1),
            topk_group=gate.get("best_groups", 1), norm_topk_prob=gate.get("normalize", True), routed_scaling_factor=gate.get("scale", 1),
            topk_method="group_limited_greedy" if gate.get("best_groups", 1) < gate.get("groups", 1) else "greedy", moe_norm_min=gate.get("least_sum", 0))
        bias = parameters.get("choice_bias")
        names = {DeepseekV3TopkRouter: "e_score_correction_bias", Ernie4_5_MoeTopKRouter: "moe_statics.e_score_correction_bias"}
        given, also = {"weight": parameters["weight"]}, ()
        if router is MiniMaxM2TopKRouter:
            also = (bias,)
        elif bias is not None:
            given[names[router]] = bias
        with repeatable([], x.dtype):
            _, weights, indices = functional_call(router(config), given, (x, *also))
        return Routed(combined(indices, weights, row.experts), indices, learns=excess(indices, row.experts, bias) if gate.get("bias_rate", 1) and bias is not None else None)
    return run


def rows():
    def top_k(name, router, gate, experts=5, bias=False, cases=FLAT, drawn=lambda shape: {}, **more):
        shapes = {"weight": (experts, WIDTH)} | ({"bias": (experts,)} if bias else {})
        return Row("top_k.transformers." + name, "transformers", {"kind": "top_k", "bias": bias} | gate, shapes, run_top_k(router), experts, drawn, cases, **more)

    mixtral = {"top_k": 2, "softmax": "all", "normalize": True, "balance_loss": 0.3}
    yield top_k("mixtral", MixtralTopKRouter, mixtral, inexact=FLOAT)
    yield top_k("mixtral-jitter", MixtralTopKRouter, mixtral | {"jitter": 0.1, "jitter_on": "tokens"}, 4, cases=BATCHED,
                drawn=lambda shape: {"jitter": ((shape[0] * shape[1], WIDTH), "uniform")}, inexact=FLOAT)
    yield top_k("olmoe", OlmoeTopKRouter, {"top_k": 3, "softmax": "all"}, 7)
    yield top_k("qwen3", Qwen3MoeTopKRouter, {"top_k": 3, "softmax": "all", "normalize": True}, 6)
    yield top_k("qwen3-all", Qwen3MoeTopKRouter, {"top_k": 4, "softmax": "all", "normalize": True}, 4)
    yield top_k("gpt-oss", GptOssTopKRouter, {"top_k": 2, "softmax": "chosen"}, bias=True)
    switch = {"kind": "switch", "expert_capacity": 3, "per": "row", "jitter": 0.1, "jitter_on": "tokens", "balance_loss": 0.3, "z_loss": 0.2}
    for name, experts, changes in (("", 4, {}), (".no-jitter", 3, {"jitter": 0.0}), (".one", 1, {"expert_capacity": 40})):
        gate = switch | changes

        def drawn(shape, gate=gate):
            return {"jitter": ((shape[0] * shape[1], WIDTH), "uniform")} if gate["jitter"] else {}

        yield Row("switch.transformers" + name, "transformers", gate, {"weight": (experts, WIDTH)}, run_switch, experts, drawn, BATCHED, inexact=FLOAT)

    def sigmoid(name, router, gate, experts=5, fixed=False):
        gate = {"kind": "sigmoid"} | gate
        shapes = {"weight": (experts, WIDTH)} | ({"choice_bias": (experts,)} if gate.get("choice_bias", True) else {})
        return Row("sigmoid.transformers." + name, "transformers", gate, shapes, run_sigmoid(router), experts, huge=3.0, fixed=("choice_bias",) if fixed else ())

    yield sigmoid("deepseek-v3", DeepseekV3TopkRouter, {"top_k": 3, "groups": 4, "best_groups": 2, "scale": 2.5}, 8)
    yield sigmoid("deepseek-v3-one-group", DeepseekV3TopkRouter, {"top_k": 2, "normalize": False, "bias_rate": 0}, 5, fixed=True)
    yield sigmoid("deepseek-v3-all", DeepseekV3TopkRouter, {"top_k": 4}, 4)
    v2 = {"scores": "softmax", "choice_bias": False, "normalize": False}
    yield sigmoid("deepseek-v2", DeepseekV2TopkRouter, v2 | {"top_k": 2, "scale": 16.0}, 6)
    yield sigmoid("deepseek-v2-groups", DeepseekV2TopkRouter, v2 | {"top_k": 3, "groups": 3, "best_groups": 2, "group_score": "max"}, 9)
    yield sigmoid("ernie", Ernie4_5_MoeTopKRouter, {"scores": "softmax", "top_k": 2, "eps": 0, "least_sum": 1e-12}, 5)
    yield sigmoid("minimax", MiniMaxM2TopKRouter, {"top_k": 2, "eps": 0}, 5)
