"""Whole sparse layers of Hugging Face transformers: experts of Mixtral, Qwen2-MoE and GPT-OSS, and losses over several layers."""
import types

import numpy as np
import torch
from torch.func import functional_call
from transformers import GptOssConfig, MixtralConfig, Qwen2MoeConfig
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssMLP
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock, load_balancing_loss_func
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeSparseMoeBlock
from transformers.models.switch_transformers import modeling_switch_transformers as switch_transformers

from layers import BATCHED, Done, Row, mlp_shapes, pair, said_of
from suite import WIDTH, repeatable
from transformers_routers import FLOAT

TOP_K = {"kind": "top_k", "top_k": 2, "bias": False, "softmax": "all"}
HALVES = ("y.experts.gate", "y.experts.up")


class Choices:
    """What top-k inside chose."""

    def __init__(self):
        self.found, self.topk = [], None

    def __enter__(self):
        self.topk = torch.topk
        def recorded(*arguments, **more):
            result = self.topk(*arguments, **more)
            self.found.append(result.indices)
            return result
        torch.topk = recorded
        return self

    def __exit__(self, *_):
        torch.topk = self.topk


def joined(parameters, path="y.experts"):
    """gate_up_proj (E, 2H, D): the gate is the first half."""
    return torch.cat([parameters[f"{path}.gate.weight"], parameters[f"{path}.up.weight"]], dim=-2)


def called(layer, given, inputs, dtype, training):
    """(the layer's result, the router's last choices (T, K))."""
    with repeatable([], dtype), Choices() as choices:
        result = functional_call(layer.to(dtype).train(training), given, inputs)
    return result, choices.found[-1].reshape(-1, choices.found[-1].shape[-1])


def run_mixtral(row, inputs, parameters, draws, training):
    block = row.blocks[0]
    config = MixtralConfig(hidden_size=WIDTH, intermediate_size=block["experts"]["hidden"], num_local_experts=block["experts"]["count"],
                           num_experts_per_tok=block["gate"]["top_k"], hidden_act=block["experts"].get("activation", "silu"))
    config._experts_implementation = "eager"
    given = {"gate.weight": parameters["y.gate.weight"], "experts.gate_up_proj": joined(parameters), "experts.down_proj": parameters["y.experts.down.weight"]}
    y, chosen = called(MixtralSparseMoeBlock(config), given, (inputs["x"],), inputs["x"].dtype, training)
    return Done(y, {"y.gate": chosen})


def run_qwen2_moe(row, inputs, parameters, draws, training):
    block = row.blocks[0]
    config = Qwen2MoeConfig(hidden_size=WIDTH, moe_intermediate_size=block["experts"]["hidden"], num_experts=block["experts"]["count"],
                            num_experts_per_tok=block["gate"]["top_k"], norm_topk_prob=False, shared_expert_intermediate_size=block["shared"]["hidden"])
    config._experts_implementation = "eager"
    given = {"gate.weight": parameters["y.gate.weight"], "experts.gate_up_proj": joined(parameters), "experts.down_proj": parameters["y.experts.down.weight"],
             "shared_expert_gate.weight": parameters["y.shared_gate.weight"]}
    given |= {f"shared_expert.{part}_proj.weight": parameters[f"y.shared.{part}.weight"] for part in ("gate", "up", "down")}
    y, chosen = called(Qwen2MoeSparseMoeBlock(config), given, (inputs["x"],), inputs["x"].dtype, training)
    return Done(y, {"y.gate": chosen})


def run_gpt_oss(row, inputs, parameters, draws, training):
    """Gate and up take turns in one matrix."""
    block = row.blocks[0]
    experts = block["experts"]
    config = GptOssConfig(hidden_size=WIDTH, intermediate_size=experts["hidden"], num_local_experts=experts["count"], num_experts_per_tok=block["gate"]["top_k"])
    config._experts_implementation = "eager"
    layer = GptOssMLP(config)
    assert layer.experts.limit == 7.0
    layer.experts.limit = experts["limit"]  # small enough to be met
    turns = {kind: torch.stack([parameters[f"y.experts.gate.{kind}"], parameters[f"y.experts.up.{kind}"]], dim=2).flatten(1, 2) for kind in ("weight", "bias")}
    given = {"router.weight": parameters["y.gate.weight"], "router.bias": parameters["y.gate.bias"], "experts.gate_up_proj": turns["weight"].mT,
             "experts.gate_up_proj_bias": turns["bias"], "experts.down_proj": parameters["y.experts.down.weight"].mT,
             "experts.down_proj_bias": parameters["y.experts.down.bias"]}
    result, chosen = called(layer, given, (inputs["x"],), inputs["x"].dtype, training)
    return Done(result[0].reshape(inputs["x"].shape), {"y.gate": chosen})


# --- losses of several layers at once ---

LAYERS = ("first", "y")


def attention_mask(case, rng):
    """1 for a token and 0 for none, of which every row has at least one but in the case "starved"."""
    mask = np.asarray(rng.integers(0, 2, case.shape), np.float32)
    mask[:, 0] = 1
    if case.effect == "starved" and len(mask) > 1:
        mask[0] = 0
    return {"mask": mask}


def run_joint(row, inputs, parameters, draws, training):
    """Layers of Mixtral's router around experts of one linear layer; the loss is of all routers' logits."""
    value, logits, choices = inputs["x"], [], {}
    gate = row.blocks[0]["gate"]
    for block in row.blocks:
        name = block["name"]
        scores = torch.nn.functional.linear(value.reshape(-1, WIDTH), parameters[f"{name}.gate.weight"])
        with repeatable([], value.dtype):
            weights, indices = torch.topk(scores.softmax(dim=-1), gate["top_k"])
        weights = weights / weights.sum(dim=-1, keepdim=True)
        every = torch.einsum("td,eod->teo", value.reshape(-1, WIDTH), parameters[f"{name}.experts.weight"]) + parameters[f"{name}.experts.bias"]
        value = (weights[..., None] * every.gather(1, indices[..., None].expand(-1, -1, WIDTH))).sum(dim=1).reshape(value.shape)
        logits.append(scores)
        choices[f"{name}.gate"] = indices
    mask = inputs.get("mask")
    with repeatable([], value.dtype):
        loss = load_balancing_loss_func(tuple(logits), block["experts"]["count"], gate["top_k"], mask)
    return Done(value, choices, {"router.balance_loss": (gate["balance_loss"], loss)} if training else {})


def run_joint_switch(row, inputs, parameters, draws, training):
    """SwitchTransformers: the losses are of the layers' logits and choices, one behind the other along the tokens."""
    value, logits, found, choices = inputs["x"], [], [], {}
    gate = row.blocks[0]["gate"]
    for block in row.blocks:
        name, count = block["name"], block["experts"]["count"]
        config = types.SimpleNamespace(num_experts=count, expert_capacity=gate["expert_capacity"], hidden_size=WIDTH, router_bias=False, router_jitter_noise=0.0,
                                       router_ignore_padding_tokens=False, router_dtype=str(value.dtype).removeprefix("torch."))
        router = switch_transformers.SwitchTransformersTop1Router(config).train(training)
        with repeatable([], value.dtype):
            mask, weights, scores = functional_call(router, {"classifier.weight": parameters[f"{name}.gate.weight"]}, (value,))
            first = scores.argmax(dim=-1)
        every = torch.einsum("bnd,eod->bneo", value, parameters[f"{name}.experts.weight"]) + parameters[f"{name}.experts.bias"]
        value = weights * torch.einsum("bneo,bne->bno", every, mask.to(value.dtype))
        logits.append(scores)
        found.append(first)
        choices[f"{name}.gate"] = torch.where(mask.sum(dim=-1) > 0, first, -1).reshape(-1, 1)
    logits, found = torch.cat(logits, dim=1), torch.cat(found, dim=1)  # as SwitchTransformersForConditionalGeneration._unpack_router_logits
    with repeatable([], value.dtype):
        losses = {"encoder.balance_loss": (gate["balance_loss"], switch_transformers.load_balancing_loss_func(logits.softmax(dim=-1), found[..., None])),
                  "encoder.z_loss": (gate["z_loss"], switch_transformers.router_z_loss_func(logits))}
    return Done(value, choices, losses if training else {})


def rows():
    def row(name, kind, gate, experts, run, family="expert", extra=None, shapes=None, **more):
        block = {"kind": "moe", "name": "y", "gate": gate, "experts": experts} | (extra or {})
        said = extra | {"experts": experts} if family == "block" else said_of(experts, kind)
        count = experts["count"]
        given = pair("y.gate", count, WIDTH, bias=gate.get("bias", gate["kind"] == "top_k")) | mlp_shapes("y.experts", experts, (count,)) | (shapes or {})
        return Row(f"{kind}.transformers.{name}", "transformers", family, kind, said, [block], given, run, BATCHED, layers=HALVES, **more)

    yield row("mixtral", "gated_mlp", TOP_K | {"normalize": True}, {"kind": "gated_mlp", "count": 5, "hidden": 3}, run_mixtral)
    gpt_oss = {"kind": "gated_mlp", "count": 3, "hidden": 3, "bias": True, "activation": "quick_gelu", "limit": 0.9, "up_offset": 1}
    yield row("gpt-oss", "gated_mlp", {"kind": "top_k", "top_k": 2}, gpt_oss, run_gpt_oss)
    qwen = {"kind": "gated_mlp", "count": 3, "hidden": 3}
    shared = {"kind": "gated_mlp", "hidden": 5}
    yield row("qwen2-moe", "moe", TOP_K, qwen, run_qwen2_moe, "block", {"shared": shared, "shared_gate": True},
              mlp_shapes("y.shared", shared) | {"y.shared_gate.weight": (1, WIDTH)})
    switch = {"kind": "switch", "expert_capacity": 3, "per": "row", "jitter": 0.0, "balance_loss": 0.0}

    def joint(name, kind, gate, count, run, masked=False, **more):
        gate = gate | ({"loss_mask": "mask"} if masked else {})
        blocks = [{"kind": "moe", "name": name, "gate": gate, "experts": {"kind": "linear", "count": count}} for name in LAYERS]
        blocks[0]["from"] = "x"
        shapes = {}
        for block in LAYERS:
            shapes |= pair(f"{block}.gate", count, WIDTH, bias=False) | pair(f"{block}.experts", WIDTH, WIDTH, (count,))
        said = {key: gate[key] for key in gate if key.startswith(("loss", "balance", "z_loss"))}
        return Row(f"{kind}.transformers.{name}", "transformers", "loss", kind, said, blocks, shapes, run, BATCHED, routers=("first.gate.weight",), inexact=FLOAT, others=attention_mask if masked else lambda case, rng: {},
                   said_inputs={"mask": {"shape": ["batch", "tokens"]}} if masked else {}, constants=("mask",), **more)

    pooled = {"loss_pool": "router", "balance_loss": 0.3}
    yield joint("mixtral-joint", "balance_loss", TOP_K | {"normalize": True} | pooled, 3, run_joint)
    yield joint("mixtral-joint-mask", "balance_loss", TOP_K | {"normalize": True} | pooled, 3, run_joint, True)
    yield joint("mixtral-joint-one", "balance_loss", TOP_K | {"normalize": True, "top_k": 1} | pooled | {"balance_loss": 2.0}, 1, run_joint, True)
    yield joint("switch-joint", "z_loss", switch | {"expert_capacity": 40, "loss_pool": "encoder", "balance_loss": 0.3, "z_loss": 0.2}, 3, run_joint_switch)
