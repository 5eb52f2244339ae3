"""lucidrains' mixture-of-experts: Top2Gating, alone and in two levels (HeirarchicalMoE)."""
import torch
from mixture_of_experts import mixture_of_experts as package
from torch.func import functional_call

import lucidrains_package
from suite import BATCHED, WIDTH, Margin, Routed, Row, repeatable

VERSION = lucidrains_package.VERSION
HUGE = 8.0  # a weight of exactly 0 is not dispatched there, though it takes its place: no score vanishes
POLICIES = ("all", "none", "threshold", "random")


def mode_of(value, training):
    return value["train" if training else "eval"] if isinstance(value, dict) else value


class Gate:
    """One Top2Gating with its choices recorded. `draws` is of its tokens, (.., b, n), or None."""

    def __init__(self, gate, experts, outer=()):
        self.gate = gate
        self.module = package.Top2Gating(WIDTH, experts, outer_expert_dims=outer, **lucidrains_package.gate_arguments(gate))

    def __call__(self, x, weight, draws, training, importance=None):
        """(dispatch, combine, loss, indices, places), the last two (.., b, n, K)."""
        policy, chosen, top1 = mode_of(self.gate["policy"], training), [], package.top1

        def recording(scores):
            index = scores.argmax(dim=-1)  # the first of equals
            values = scores.gather(-1, index[..., None]).squeeze(-1)
            chosen.append((values, index))
            return values, index

        if policy == "threshold":  # its own stops with an error; what it means is its policy random with draws of 1
            draws = torch.ones(x.shape[:-1]).numpy()
        package.top1 = recording
        try:
            with repeatable([draws] if policy in ("random", "threshold") else [], x.dtype):
                dispatch, combine, loss = functional_call(self.module.train(training), {"w_gating": weight.transpose(-1, -2)}, (x,),
                                                          {"importance": importance} if importance is not None else {})
        finally:
            package.top1 = top1
        indices, _, places = lucidrains_package.routing_of(chosen, importance, dispatch)
        count = 1 if policy == "none" else 2
        return dispatch, combine, loss, indices[..., :count], places[..., :count]


def run_flat(row, x, parameters, draws, training):
    _, combine, loss, indices, _ = Gate(row.gate, row.experts)(x, parameters["weight"], draws.get("policy"), training)
    combine = combine.sum(dim=-1).reshape(-1, row.experts)
    return Routed(combine, indices.flatten(0, 1), {"balance_loss": loss} if training else {}, logits=x @ parameters["weight"].T)


def run_levels(row, x, parameters, draws, training):
    """As HeirarchicalMoE.forward has it. Draws and choices of the inner gates are of the outer routing's rows, in the order of group, row of the
    batch and place, and are moved to the package's slots and back."""
    outer, inner = row.gate["outer"], row.experts // row.gate["outer"]
    dispatch, combine, loss, groups, _ = Gate(row.gate, outer)(x, parameters["outer.weight"], draws.get("outer.policy"), training)
    importance = combine.permute(2, 0, 3, 1).sum(dim=-1)
    importance = 0.5 * ((importance > 0.5).to(x.dtype) + (importance > 0.0).to(x.dtype))
    slots = torch.einsum("bnd,bnec->ebcd", x, dispatch)
    taken = dispatch.permute(2, 0, 3, 1).sum(dim=-1) > 0  # (outer, b, cap)
    number = (taken.flatten().cumsum(0) - 1).reshape(taken.shape)  # of its row
    of_slots = None
    if "inner.policy" in draws:
        of_slots = (torch.from_numpy(draws["inner.policy"])[number.clamp(min=0)] * taken).numpy()
    gate, margin = Gate(row.gate, inner, (outer,)), Margin.least
    _, combine_inner, loss_inner, indices, _ = gate(slots, parameters["inner.weight"], of_slots, training, importance)
    Margin.least = margin  # the slots that nobody took have equal scores, which nobody sees
    scores = torch.einsum("ebcd,eid->ebci", slots, parameters["inner.weight"]).softmax(dim=-1).detach()
    Margin.note(torch.sort(scores[taken], descending=True)[0], 2)
    both = torch.einsum("bnec,ebcf->bnef", combine, combine_inner.sum(dim=-1)).reshape(-1, row.experts)
    rows = x.shape[0] * x.shape[1] * groups.shape[-1]
    chosen = torch.full((rows, indices.shape[-1]), -1)
    first = torch.arange(outer)[:, None, None, None] * inner
    chosen[number[taken]] = torch.where(indices >= 0, indices + first, -1)[taken]
    aux = {"outer.balance_loss": loss, "inner.balance_loss": loss_inner} if training else {}
    if training and "z_loss" in row.gate:  # which the package lacks: of the outer gate's tokens, and of the rows that came to a group
        logits = torch.einsum("ebcd,eid->ebci", slots, parameters["inner.weight"])
        aux["outer.z_loss"] = (x @ parameters["outer.weight"].T).logsumexp(dim=-1).square().mean()
        aux["inner.z_loss"] = logits.logsumexp(dim=-1).square()[taken].mean()
    return Routed(both, chosen, aux, outer=groups.flatten(0, 1))


def rows():
    base = {"kind": "top_2", "threshold": {"train": 0.2, "eval": 0.4}, "capacity": {"train": 1.25, "eval": 2.0}, "balance_loss": 0.3}

    def flat(name, policy, experts=5, **more):
        gate = base | {"policy": policy} | more
        return Row(f"top_2.mixture-of-experts.{name}", "mixture-of-experts", gate, {"weight": (experts, WIDTH)}, run_flat, experts,
                   (lambda shape: {"policy": (shape, "uniform")}) if policy == "random" else (lambda shape: {}), BATCHED, huge=HUGE)

    for policy in POLICIES:
        yield flat(policy, policy)
    yield flat("by-mode", {"train": "threshold", "eval": "none"}, 7)
    yield flat("tight", "all", 3, capacity={"train": 0.6, "eval": 0.9}, z_loss=0.2)
    yield flat("two", "all", 2)
    yield flat("one", "none", 1)
    levels = base | {"kind": "hierarchical", "outer": 3}

    def level(name, policy, outer, experts, **more):
        def drawn(shape):
            count = shape[0] * shape[1]
            return {"outer.policy": (shape, "uniform"), "inner.policy": ((2 * count,), "uniform")} if policy == "random" else {}

        shapes = {"outer.weight": (outer, WIDTH), "inner.weight": (outer, experts // outer, WIDTH)}
        return Row(f"hierarchical.mixture-of-experts.{name}", "mixture-of-experts", levels | {"policy": policy, "outer": outer} | more, shapes, run_levels,
                   experts, drawn, BATCHED, huge=HUGE)

    for policy in POLICIES:
        yield level(policy, policy, 3, 6)
    yield level("two-by-three", "all", 2, 6)
    yield level("z-loss", "all", 3, 6, capacity={"train": 0.6, "eval": 0.9}, z_loss=0.2)
