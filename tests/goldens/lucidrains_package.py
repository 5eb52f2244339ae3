"""mixture-of-experts by lucidrains, run with given draws and with ties to the lowest index; weights have moec's names and shapes.

Recorded of every gate: what its two choices were, how it weighted them, and the place that each got.
"""
import contextlib

import numpy as np
import torch
from mixture_of_experts import mixture_of_experts as package

VERSION = "0.2.3"
POLICY_ARGUMENTS = {"policy": "second_policy", "threshold": "second_threshold", "capacity": "capacity_factor"}


def lowest_top1(scores):
    index = scores.argmax(dim=-1)  # torch.argmax takes the first of equals; topk leaves it open
    return scores.gather(-1, index[..., None]).squeeze(-1), index


@contextlib.contextmanager
def repeatable(draws, chosen):
    """Inside, each uniform_ gives the next of `draws`, all of which must be used, and each choice is appended to `chosen`."""
    queue, top1, uniform = list(draws), package.top1, torch.Tensor.uniform_

    def next_draw(self, low, high):
        assert (low, high) == (0.0, 1.0) and queue[0].shape == self.shape, (low, high, queue[0].shape, self.shape)
        return self.copy_(queue.pop(0))

    def recording_top1(scores):
        values, index = lowest_top1(scores)
        chosen.append((values.clone(), index))
        return values, index

    package.top1, torch.Tensor.uniform_ = recording_top1, next_draw
    try:
        yield
    finally:
        package.top1, torch.Tensor.uniform_ = top1, uniform
    assert not queue, f"{len(queue)} draws were not used"


def gate_arguments(gate):
    """The package's keyword arguments for a gate's JSON. Its policy threshold stops with an error: the same is said by draws of 1."""
    arguments = {}
    for key, argument in POLICY_ARGUMENTS.items():
        for mode in ("train", "eval"):
            value = gate[key][mode] if isinstance(gate[key], dict) else gate[key]
            arguments[f"{argument}_{mode}"] = "random" if value == "threshold" else value
    return arguments


def draws_of(gate, mode, draws):
    policy = gate["policy"][mode] if isinstance(gate["policy"], dict) else gate["policy"]
    if policy == "threshold":
        return [torch.ones_like(torch.as_tensor(draw)) for draw in draws]
    return [torch.as_tensor(draw) for draw in draws] if policy == "random" else []


def routing_of(chosen, importance, dispatch, eps=1e-9):
    """(indices, weights, places), each (.., b, n, 2), of one gate: -1 where a choice was dropped. dispatch (.., b, n, E, C)."""
    (first, index_1), (second, index_2) = chosen
    if importance is not None:
        first = first * (importance == 1.0)
    weights = torch.stack([first, second], dim=-1) / (first + second + eps)[..., None]
    indices = torch.stack([index_1, index_2], dim=-1)
    slots = torch.take_along_dim(dispatch, indices[..., None], dim=-2)  # (.., n, 2, C)
    kept = slots.sum(dim=-1) > 0
    if importance is not None:  # of importance 0.5 only the second choice, which may be the first one's expert
        kept[..., 0] &= importance == 1.0
    return torch.where(kept, indices, -1), weights, torch.where(kept, slots.argmax(dim=-1), -1)


def run_gate(gate, logits, draws, mode):
    """(indices, weights, places, loss) of a gate alone for logits (b, n, E): its projection is the identity."""
    experts, chosen = logits.shape[-1], []
    module = package.Top2Gating(experts, experts, **gate_arguments(gate)).train(mode == "train")
    module.w_gating.data = torch.eye(experts)
    with torch.no_grad(), repeatable(draws_of(gate, mode, [draws]), chosen):
        dispatch, combine, loss = module(torch.from_numpy(logits))
    indices, weights, places = routing_of(chosen, None, dispatch)
    total = torch.zeros(combine.shape[:-1]).scatter_add(-1, indices.clamp(min=0), torch.where(indices >= 0, weights, 0.0))
    assert torch.allclose(combine.sum(dim=-1), total, rtol=0, atol=1e-7)
    if (gate["policy"][mode] if isinstance(gate["policy"], dict) else gate["policy"]) == "none":
        indices, weights, places = indices[..., :1], weights[..., :1], places[..., :1]
    return tuple(value.flatten(0, 1).numpy() for value in (indices, weights, places)) + (loss.numpy(),)


class ThreeMatrices(torch.nn.Module):
    """The package's README's experts of one's own, in the flat and the hierarchical form."""

    def __init__(self, weights):
        super().__init__()
        self.weights, self.act = weights, torch.nn.LeakyReLU()

    def forward(self, x):
        first, second, third = self.weights
        hidden = self.act(torch.einsum("...nd,...dh->...nh", x, first))
        hidden = self.act(torch.einsum("...nd,...dh->...nh", hidden, second))
        return torch.einsum("...nd,...dh->...nh", hidden, third)


def run(gate, weights, x, draws, inner_slots):
    """The layer in evaluation. `draws` {path: (T) or (R)}; the inner ones are of rows of the outer routing, which `inner_slots` puts
    into the package's slots. (y, aux loss, {gate's path: (indices, weights, places)}), inner ones by slot: (Eo, b, cap, 2)."""
    b, n, dim = x.shape
    outer = gate.get("outer")
    path = "moe.gate.outer" if outer else "moe.gate"
    count = weights["moe.experts." + ("up" if "moe.experts.up.weight" in weights else "first") + ".weight"].shape[0]
    shape = (outer, count // outer) if outer else (count,)
    dtype = torch.from_numpy(x).dtype
    matrices = [torch.from_numpy(value).transpose(1, 2).reshape(*shape, value.shape[2], value.shape[1])
                for name, value in weights.items() if ".experts." in name]
    arguments, chosen, seen = gate_arguments(gate), [], []
    custom = ThreeMatrices(matrices) if len(matrices) == 3 else None
    kind = package.HeirarchicalMoE if outer else package.MoE
    layer = kind(dim, num_experts=shape if outer else count, hidden_dim=matrices[0].shape[-1], activation=torch.nn.LeakyReLU,
                 experts=custom, **arguments).to(dtype).eval()
    if custom is None:
        layer.experts.w1.data, layer.experts.w2.data = matrices
    gates = [layer.gate_outer, layer.gate_inner] if outer else [layer.gate]
    for module, name in zip(gates, [path, "moe.gate.inner"]):
        module.w_gating.data = torch.from_numpy(weights[name + ".weight"]).transpose(-1, -2).to(dtype)
        module.register_forward_hook(lambda _, given, kwargs, result: seen.append((kwargs.get("importance"), result[0], result[1])),
                                     with_kwargs=True)
    given = [torch.from_numpy(draws[path + ".policy"]).reshape(b, n)] if path + ".policy" in draws else []
    if outer and "moe.gate.inner.policy" in draws:
        given.append(inner_slots(torch.from_numpy(draws["moe.gate.inner.policy"])))
    with torch.no_grad(), repeatable(draws_of(gate, "eval", given), chosen):
        y, loss = layer(torch.from_numpy(x))
    routings = {}
    for i, (name, (importance, dispatch, _)) in enumerate(zip([path, "moe.gate.inner"], seen)):
        routings[name] = tuple(value.numpy() for value in routing_of(chosen[2 * i:2 * i + 2], importance, dispatch))
    return y.numpy(), loss.numpy(), routings
