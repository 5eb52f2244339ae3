"""Gates that no package has as moec writes them, after the papers, in PyTorch: every equation is here.

dense: Jacobs et al. 1991. random_expert: one expert for the call. switch: Fedus et al. 2021 (2.1, equations 4 to 6; jitter on the
router's input). top_k: the sequence-wise loss of DeepSeek-V2 (seq_aux) is over K, moec's is not. gshard: Lepikhin et al. 2020, algorithm 1, each row of the batch being a group.
"""
import math

import torch
from torch.nn import functional

from suite import BATCHED, FLAT, WIDTH, Routed, Row, combined, repeatable

VERSION = "as written here"


def run_dense(row, x, parameters, draws, training):
    for i, _ in enumerate(row.gate.get("widths", [])):
        x = functional.elu(functional.linear(x, parameters[f"layers.{i}.weight"], parameters[f"layers.{i}.bias"]))
    logits = functional.linear(x, parameters["weight"], parameters.get("bias"))
    return Routed(logits.softmax(dim=-1), None, logits=logits)


def run_random(row, x, parameters, draws, training):
    expert = int(torch.from_numpy(draws["expert"]).argmax())
    indices = torch.full((len(x), 1), expert)
    return Routed(combined(indices, torch.ones(len(x), 1, dtype=x.dtype), row.experts), indices)


def limited(indices, capacity):
    """(T, K) with -1 where an expert had its fill: all first choices enter before all second ones."""
    left, result = {}, indices.clone()
    for choice in range(indices.shape[1]):
        for token in range(len(indices)):
            expert = int(indices[token, choice])
            left[expert] = left.get(expert, capacity) - 1
            if left[expert] < 0:
                result[token, choice] = -1
    return result


def run_switch(row, x, parameters, draws, training):
    gate = row.gate
    tokens = x
    if training and gate["jitter"]:
        tokens = x * (1.0 - gate["jitter"] + 2.0 * gate["jitter"] * torch.from_numpy(draws["jitter"]).to(x.dtype))
    logits = functional.linear(tokens, parameters["weight"])
    scores = logits.softmax(dim=-1)
    with repeatable([], x.dtype):
        weights, indices = torch.topk(scores, 1)
    share = functional.one_hot(indices[:, 0], row.experts).to(x.dtype).mean(dim=0)
    aux = {"balance_loss": row.experts * (share * scores.mean(dim=0)).sum(), "z_loss": logits.logsumexp(dim=-1).square().mean()}
    capacity = max(int(gate["capacity"]["train" if training else "eval"] * len(x) / row.experts), 1)
    indices = limited(indices, capacity)
    return Routed(combined(indices, weights, row.experts), indices, aux if training else {})


def run_sequence_wise(row, x, parameters, draws, training):
    """Softmax before the choice, with DeepSeek-V2's loss: E / (K n) * the choices of e times the mean score of e, for each sequence."""
    logits = functional.linear(x, parameters["weight"])
    scores, choices = logits.softmax(dim=-1), row.gate["top_k"]
    with repeatable([], x.dtype):
        weights, indices = torch.topk(scores.flatten(0, 1), choices)
    counts = functional.one_hot(indices.reshape(*x.shape[:2], choices), row.experts).to(x.dtype).sum(dim=2)
    loss = ((row.experts / choices) * counts.mean(dim=1) * scores.mean(dim=1)).sum(dim=1).mean()
    return Routed(combined(indices, weights, row.experts), indices, {"balance_loss": choices * loss} if training else {}, logits=logits)


def run_gshard(row, x, parameters, draws, training):
    gate, found, losses = row.gate, [], []
    logits = functional.linear(x, parameters["weight"])  # (groups, S, E)
    scores = logits.softmax(dim=-1)
    for group, of_group in enumerate(scores):
        size = len(of_group)
        with repeatable([], x.dtype):
            values, indices = torch.topk(of_group, 2)
        weights = values / values.sum(dim=-1, keepdim=True)
        rate = gate["capacity"]["train" if training else "eval"]
        kept = limited(indices, math.ceil(rate * size) * 2 // row.experts)
        drawn = torch.from_numpy(draws["random_routing"]).reshape(x.shape[:2])[group].to(x.dtype)
        kept[:, 1] = torch.where(2 * weights[:, 1] > drawn, kept[:, 1], -1)
        share = functional.one_hot(indices[:, 0], row.experts).to(x.dtype).mean(dim=0)
        losses.append((share * of_group.mean(dim=0)).sum() * row.experts)
        found.append((kept, weights))
    indices, weights = torch.cat([kept for kept, _ in found]), torch.cat([weights for _, weights in found])
    return Routed(combined(indices, weights, row.experts), indices, {"balance_loss": torch.stack(losses).mean()} if training else {})


def rows():
    def dense(name, gate, experts, widths=()):
        shapes, before = {}, WIDTH
        for i, width in enumerate(widths):
            shapes |= {f"layers.{i}.weight": (width, before), f"layers.{i}.bias": (width,)}
            before = width
        shapes |= {"weight": (experts, before)} | ({"bias": (experts,)} if gate.get("bias", True) else {})
        return Row(f"dense.paper.{name}", "paper", {"kind": "dense"} | gate, shapes, run_dense, experts, huge=30.0 if widths else 1e6)

    yield dense("softmax", {}, 5)
    yield dense("no-bias", {"bias": False, "z_loss": 0.2}, 4)
    yield dense("one", {}, 1)
    yield dense("layers", {"widths": [6, 3]}, 4, (6, 3))
    for experts in (5, 1):
        yield Row(f"random_expert.paper.e{experts}", "paper", {"kind": "random_expert"}, {}, run_random, experts, lambda shape, e=experts: {"expert": ((1, e), "uniform")})
    switch = {"kind": "switch", "capacity": {"train": 1.0, "eval": 2.0}, "jitter": 0.1, "balance_loss": 0.3, "z_loss": 0.2}
    yield Row("switch.paper", "paper", switch, {"weight": (5, WIDTH)}, run_switch, 5, lambda shape: {"jitter": ((*shape, WIDTH), "uniform")})
    yield Row("switch.paper.large", "paper", switch | {"jitter": 0.0, "capacity": {"train": 50.0, "eval": 0.5}}, {"weight": (3, WIDTH)}, run_switch, 3)
    sequence_wise = {"kind": "top_k", "top_k": 2, "softmax": "all", "bias": False, "balance_loss": 0.3, "balance_per": "row", "z_loss": 0.2}
    yield Row("top_k.paper.sequence-wise", "paper", sequence_wise, {"weight": (5, WIDTH)}, run_sequence_wise, 5, cases=BATCHED)
    gshard = {"kind": "gshard", "top_k": 2, "capacity": {"train": 1.0, "eval": 2.0}, "per": "row", "priority": "choice_major", "random_routing": True,
              "balance_loss": 0.3, "bias": False}

    def nothing(shape, mode):
        return math.ceil(gshard["capacity"][mode] * shape[1]) * 2 // 4 == 0

    yield Row("gshard.paper", "paper", gshard, {"weight": (4, WIDTH)}, run_gshard, 4,
              lambda shape: {"random_routing": ((shape[0] * shape[1],), "uniform")}, BATCHED, refuses=nothing)
