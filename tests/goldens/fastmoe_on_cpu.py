"""FastMoE's Python on a CPU: its CUDA extension replaced by loops in token order, its draws and its top-k made repeatable.

FastMoE itself is not part of this project: the caller names a folder that holds it.
"""
import contextlib
import hashlib
import sys
import types
from pathlib import Path

import torch

VERSION = "ee3c5615a5588c65273a512de82f19ca287e1bdf"
SHARES = {"values": 1e-7, "gradients": 1e-7}  # the shares of tokens in its balance losses are f32 whatever the model's dtype
FILES = ["layers.py", "functions.py", "transformer.py", "gates/naive_gate.py", "gates/gshard_gate.py",
         "gates/switch_gate.py", "gates/utils.py"]
FILES_SHA256 = "b28505ddecac759d8b05b6d5c88b22ef21d9b508d04e011ed0c124d7d689bc1c"


def expert_count(indices, counts):
    for expert in indices.flatten().tolist():
        if expert >= 0:
            counts[expert] += 1


def assign_pos(cumulative, indices, positions):
    """Groups the flattened (T*K) entries by expert; inside an expert they stay in token order."""
    entries = [(expert, entry) for entry, expert in enumerate(indices.flatten().tolist()) if expert >= 0]
    positions.copy_(torch.tensor([entry for _, entry in sorted(entries)], dtype=positions.dtype))


def prune_gate_by_capacity(indices, capacity, num_expert, world_size):
    """Keeps the first capacity[e] entries of expert e, counted through the flattened (T, K) rows; later ones become -1."""
    left, pruned = capacity.tolist(), indices.clone().flatten()
    for entry, expert in enumerate(pruned.tolist()):
        left[expert] -= 1
        if left[expert] < 0:
            pruned[entry] = -1
    return pruned.view(indices.shape)


def limit_by_capacity(counts, capacity, num_expert, world_size):
    """What each expert takes, on one worker."""
    return torch.minimum(counts, capacity.to(counts.dtype))


def linear_forward(rows, counts, weight, bias):
    parts = rows.split(counts.tolist())
    return torch.cat([torch.nn.functional.linear(part, weight[e], None if bias is None else bias[e]) for e, part in enumerate(parts)])


def linear_backward(gradient, rows, counts, weight, bias):
    """Gradients of linear_forward's rows, weight and bias (an empty tensor without one)."""
    sizes = counts.tolist()
    gradients, parts = gradient.split(sizes), rows.split(sizes)
    of_rows = torch.cat([part @ weight[e] for e, part in enumerate(gradients)])
    of_weight = torch.stack([part.T @ given for part, given in zip(gradients, parts)])
    of_bias = torch.stack([part.sum(dim=0) for part in gradients]) if torch.is_tensor(bias) else torch.empty(0)
    return of_rows, of_weight, of_bias


def load(folder):
    """Imports fmoe from `folder`, which must hold the version named above."""
    text = b"".join((Path(folder) / "fmoe" / name).read_bytes() for name in FILES)
    if hashlib.sha256(text).hexdigest() != FILES_SHA256:
        raise SystemExit(f"{folder} does not hold FastMoE {VERSION}")
    native = types.ModuleType("fmoe_cuda")
    for function in (expert_count, assign_pos, limit_by_capacity, prune_gate_by_capacity, linear_forward, linear_backward):
        setattr(native, function.__name__, function)
    sys.modules["fmoe_cuda"] = native
    sys.path.insert(0, str(folder))
    import fmoe
    import fmoe.gates
    return fmoe


def sorted_topk(values, k, dim=-1, largest=True, sorted=True):
    """torch.topk with the highest value first and the lowest index first among equals."""
    assert largest
    ordered, order = torch.sort(values, dim=dim, descending=True, stable=True)
    return ordered.narrow(dim, 0, k), order.narrow(dim, 0, k).contiguous()


@contextlib.contextmanager
def repeatable(draws):
    """Inside, torch.topk is sorted_topk and each torch.rand and torch.rand_like returns the next tensor of `draws`, all of which must be used."""
    queue, topk, rand, rand_like = list(draws), torch.topk, torch.rand, torch.rand_like

    def next_draw(*shape, device=None):
        draw = queue.pop(0)
        assert tuple(draw.shape) == shape, (draw.shape, shape)
        return draw

    torch.topk, torch.rand, torch.rand_like = sorted_topk, next_draw, lambda like: next_draw(*like.shape)
    try:
        yield
    finally:
        torch.topk, torch.rand, torch.rand_like = topk, rand, rand_like
    assert not queue, f"{len(queue)} draws were not used"
