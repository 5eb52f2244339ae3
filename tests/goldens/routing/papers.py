"""Gates that no package has as moec writes them, after the papers, in PyTorch: every equation is here.

dense: Jacobs et al. 1991. random_expert: one expert for the call. switch: Fedus et al. 2021 (2.1, equations 4 to 6; jitter on the
router's input). top_k: the sequence-wise loss of DeepSeek-V2 (seq_aux) is over K, moec's is not. gshard: Lepikhin et al. 2020, algorithm 1, each row of the batch being a group.
expert_choice: Zhou et al. 2022. hash: Roller et al. 2021. top_k with a priority: Megatron-Core, Riquelme et al. 2021.
"""
import dataclasses
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


def run_expert_choice(row, x, parameters, draws, training):
    """Zhou et al. 2022, equation 2: G, I = TopK(S^T, k), for each row of the batch by itself where the gate says so."""
    gate = row.gate
    groups = x if gate.get("per") == "row" else x.reshape(1, -1, WIDTH)
    scores = functional.linear(groups, parameters["weight"]).softmax(dim=-1)  # (groups, n, E)
    size = groups.shape[1]
    taken = min(size, max(int(size * gate["capacity"]["train" if training else "eval"] / row.experts), 1))
    with repeatable([], x.dtype):
        tokens = torch.topk(scores.transpose(1, 2), taken).indices  # (groups, E, k)
    chosen = torch.zeros(len(groups), row.experts, size, dtype=torch.bool).scatter_(2, tokens, True).transpose(1, 2).reshape(-1, row.experts)
    indices = torch.where(chosen, torch.arange(row.experts), -1)
    return Routed(combined(indices, scores.reshape(-1, row.experts), row.experts), indices)


def run_hash(row, x, parameters, draws, training):
    """Roller et al. 2021: the expert of an id is what a table says, with weight 1."""
    ids = torch.from_numpy(draws["ids"]).long().reshape(-1)
    indices = parameters["table"].detach()[ids].clamp(0, row.experts - 1).long()
    return Routed(combined(indices, torch.ones(len(indices), 1, dtype=x.dtype), row.experts), indices)


def ordered(indices, scores, first):
    """Which places rows (token, choice) get in their experts, by descending score and then in the order of rows; `first` orders before the scores."""
    places, taken = torch.full(indices.shape, -1), {}
    every = [(first(choice), -scores[token, choice].item(), token, choice) for token in range(len(indices)) for choice in range(indices.shape[1])]
    for _, _, token, choice in sorted(every):
        expert = int(indices[token, choice])
        places[token, choice] = taken.get(expert, 0)
        taken[expert] = taken.get(expert, 0) + 1
    return places


def run_prioritised(row, x, parameters, draws, training):
    """Softmax before the choice, a capacity, and who enters first: score (Megatron-Core: the rows of the highest probability) or batch (Riquelme et al.
    2021, 3.4: all first choices before all second ones, the tokens of the highest probability first)."""
    gate = row.gate
    scores = functional.linear(x, parameters["weight"]).softmax(dim=-1)
    with repeatable([], x.dtype):
        weights, indices = torch.topk(scores, gate["top_k"])
    capacity = math.ceil(gate["capacity"]["train" if training else "eval"] * len(x)) * gate["top_k"] // row.experts
    is_batch = gate["priority"] == "batch"
    places = ordered(indices, weights[:, :1].expand_as(weights) if is_batch else weights, (lambda choice: choice) if is_batch else (lambda choice: 0))
    indices = torch.where(places < capacity, indices, -1)
    return Routed(combined(indices, weights, row.experts), indices)


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
    plain = tuple(case for case in FLAT if case.effect not in ("starved", "one-expert"))  # here experts choose, or ids
    choice = {"kind": "expert_choice", "capacity": {"train": 2.0, "eval": 1.0}}
    yield Row("expert_choice.paper", "paper", choice, {"weight": (5, WIDTH)}, run_expert_choice, 5, cases=plain)
    yield Row("expert_choice.paper.one", "paper", choice | {"capacity": {"train": 0.4, "eval": 3.0}}, {"weight": (1, WIDTH)}, run_expert_choice, 1,
              cases=tuple(dataclasses.replace(case, ties=True) for case in plain))
    yield Row("expert_choice.paper.rows", "paper", choice | {"per": "row"}, {"weight": (4, WIDTH)}, run_expert_choice, 4,
              cases=tuple(case for case in BATCHED if case.effect not in ("starved", "one-expert")))
    table = {"table": lambda rng, shape: rng.uniform(0, 5, shape)}
    yield Row("hash.paper", "paper", {"kind": "hash", "ids": "ids", "entries": 11}, {"table": (11, 1)}, run_hash, 5, cases=plain, made=table, fixed=("table",), ids=11)
    for priority in ("score", "batch"):
        gate = {"kind": "top_k", "top_k": 2, "softmax": "all", "bias": False, "capacity": {"train": 0.6, "eval": 1.2}, "priority": priority}

        def full(shape, mode, gate=gate):
            return math.ceil(gate["capacity"][mode] * shape[0]) * 2 // 5 == 0

        yield Row(f"top_k.paper.{priority}", "paper", gate, {"weight": (5, WIDTH)}, run_prioritised, 5, refuses=full)
