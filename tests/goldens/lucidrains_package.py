"""mixture-of-experts by lucidrains, run with given draws and with ties to the lowest index; weights have moec's names and shapes.

Recorded of every gate: what its two choices were, how it weighted them, and the place that each got.
"""
import contextlib

import numpy as np
import torch
from mixture_of_experts import mixture_of_experts as package

from placement import Placement

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

    def __init__(self, shapes):
        super().__init__()
        self.matrices, self.act = torch.nn.ParameterList(torch.empty(shape) for shape in shapes), torch.nn.LeakyReLU()

    def forward(self, x):
        first, second, third = self.matrices
        hidden = self.act(torch.einsum("...nd,...dh->...nh", x, first))
        hidden = self.act(torch.einsum("...nd,...dh->...nh", hidden, second))
        return torch.einsum("...nd,...dh->...nh", hidden, third)


def build(gate, weights):
    """(layer, its Placement, [(path of a gate, gate)])."""
    names = [name for name in weights if ".experts." in name]
    outer, count = gate.get("outer"), len(weights[names[0]])
    shape = (outer, count // outer) if outer else (count,)

    def matrix(value):  # moec's (E, out, in)
        return value.transpose(1, 2).unflatten(0, shape)

    given = Placement(weights)
    shapes = [matrix(given.weights[name]).shape for name in names]
    custom = ThreeMatrices(shapes) if len(names) == 3 else None
    kind = package.HeirarchicalMoE if outer else package.MoE
    layer = kind(shapes[0][-2], num_experts=shape if outer else count, hidden_dim=shapes[0][-1], activation=torch.nn.LeakyReLU,
                 loss_coef=gate["balance_loss"], experts=custom, **gate_arguments(gate)).to(given.weights[names[0]].dtype)
    for name, parameter in zip(names, custom.matrices if custom else (layer.experts.w1, layer.experts.w2)):
        given.set(parameter, name, matrix)
    gates = [("moe.gate.outer", layer.gate_outer), ("moe.gate.inner", layer.gate_inner)] if outer else [("moe.gate", layer.gate)]
    for name, module in gates:
        given.set(module.w_gating, name + ".weight", lambda value: value.transpose(-1, -2))
    return layer, given, gates


def ordered_draws(gate, draws, rows, inner_slots):
    """The stored draws {path: (T) or (R)} as the package asks for them; the inner ones are of rows of the outer routing, which `inner_slots`
    puts into the package's slots."""
    path = "moe.gate.outer" if gate.get("outer") else "moe.gate"
    given = [torch.from_numpy(draws[path + ".policy"]).reshape(rows)] if path + ".policy" in draws else []
    if "moe.gate.inner.policy" in draws:
        given.append(inner_slots(torch.from_numpy(draws["moe.gate.inner.policy"])))
    return given


def run(gate, weights, x, draws, inner_slots):
    """The layer in evaluation: (y, aux loss, {gate's path: (indices, weights, places)}), inner ones by slot: (Eo, b, cap, 2)."""
    (layer, _, gates), chosen, seen = build(gate, weights), [], []
    for _, module in gates:
        module.register_forward_hook(lambda _, given, kwargs, result: seen.append((kwargs.get("importance"), result[0], result[1])),
                                     with_kwargs=True)
    given = ordered_draws(gate, draws, x.shape[:2], inner_slots)
    with torch.no_grad(), repeatable(draws_of(gate, "eval", given), chosen):
        y, loss = layer.eval()(torch.from_numpy(x))
    routings = {}
    for i, ((name, _), (importance, dispatch, _)) in enumerate(zip(gates, seen)):
        routings[name] = tuple(value.numpy() for value in routing_of(chosen[2 * i:2 * i + 2], importance, dispatch))
    return y.numpy(), loss.numpy(), routings


def losses(built, gate, x, target, draws):
    """(mean squared error, {path of a gate's loss: (coefficient, loss)}) in training, `draws` being ordered_draws'."""
    (layer, _, gates), found = built, {}
    for name, module in gates:
        module.register_forward_hook(lambda _, given, result, name=name: found.update({name + ".balance_loss": (gate["balance_loss"], result[2])}))
    with repeatable(draws_of(gate, "train", draws), []):
        y, loss = layer.train()(x)
    assert torch.allclose(loss, sum(coefficient * value for coefficient, value in found.values()), rtol=1e-6)
    return torch.nn.functional.mse_loss(y, target), found
