"""Routers of Hugging Face transformers: Mixtral, OLMoE, Qwen3-MoE, GPT-OSS, SwitchTransformers."""
import importlib.metadata
import types

import torch
from torch.func import functional_call
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssTopKRouter
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
