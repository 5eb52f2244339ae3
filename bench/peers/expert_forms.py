"""A layer of experts in PyTorch, in the forms that people write: each takes (x (T, D), parameters) and gives (T, D).

Parameters have moec's names behind the layer's path: gate.weight (E, D), gate.bias (E); experts.up.weight (E, H, D), experts.down.weight (E, D, H), experts.gate.weight (E, H, D) of gated
experts; biases (E, H) and (E, D) where there are any. A `routing` (weights, experts), both (T, K), takes the place of the layer's gate.
"""
from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass
class Shape:
    experts: int
    choices: int
    activation: str = "gelu"
    gated: bool = False


ACTIVATIONS = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu}


def route(x, p, shape):
    """(weights, experts), both (T, K): the softmax over the chosen logits."""
    scores, chosen = torch.topk(F.linear(x, p["gate.weight"], p.get("gate.bias")), shape.choices, dim=1)
    return torch.softmax(scores, dim=1), chosen


def expert(rows, p, shape, e):
    act, bias = ACTIVATIONS[shape.activation], lambda name: p[name][e] if name in p else None
    hidden = F.linear(rows, p["experts.up.weight"][e], bias("experts.up.bias"))
    hidden = act(F.linear(rows, p["experts.gate.weight"][e], bias("experts.gate.bias"))) * hidden if shape.gated else act(hidden)
    return F.linear(hidden, p["experts.down.weight"][e], bias("experts.down.bias"))


def loop(x, p, shape, routing=None):
    """Each expert looks for its tokens, and adds its rows to theirs."""
    weights, chosen = routing or route(x, p, shape)
    y = torch.zeros_like(x)
    for e in range(shape.experts):
        token, choice = torch.where(chosen == e)
        if len(token):
            y = y.index_add(0, token, expert(x[token], p, shape, e) * weights[token, choice, None])
    return y


def in_order(chosen, shape):
    """(entries of the flat (T * K) list by expert, rows of each expert)."""
    flat = chosen.flatten()
    return torch.argsort(flat, stable=True), torch.bincount(flat, minlength=shape.experts)


def combined(rows, order, weights, shape):
    """Rows in the experts' order (R, D), summed over the choices of each token with their weights."""
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    return (rows[back].unflatten(0, (-1, shape.choices)) * weights[..., None]).sum(dim=1)


def sorted_rows(x, p, shape, routing=None):
    """Tokens sorted by expert, and one product for each expert."""
    weights, chosen = routing or route(x, p, shape)
    order, counts = in_order(chosen, shape)
    parts = x[order // shape.choices].split(counts.tolist())
    rows = torch.cat([expert(part, p, shape, e) for e, part in enumerate(parts) if len(part)])
    return combined(rows, order, weights, shape)


def grouped(x, p, shape, routing=None):
    """Tokens sorted by expert, and one grouped product for all of them."""
    product = getattr(F, "grouped_mm", None) or torch._grouped_mm
    weights, chosen = routing or route(x, p, shape)
    order, counts = in_order(chosen, shape)
    ends, of_row = torch.cumsum(counts, 0).to(torch.int32), chosen.flatten()[order]

    def layer(rows, name):
        result = product(rows, p[f"experts.{name}.weight"].transpose(1, 2), offs=ends)
        return result + p[f"experts.{name}.bias"][of_row] if f"experts.{name}.bias" in p else result

    rows, act = x[order // shape.choices], ACTIVATIONS[shape.activation]
    hidden = act(layer(rows, "gate")) * layer(rows, "up") if shape.gated else act(layer(rows, "up"))
    return combined(layer(hidden, "down"), order, weights, shape)


def dense(x, p, shape, routing=None):
    """Every expert on every token, in batched products; a token weights those it did not choose with 0."""
    weights, chosen = routing or route(x, p, shape)
    all_weights = torch.zeros(len(x), shape.experts, dtype=x.dtype).scatter(1, chosen, weights)

    def layer(rows, name):
        weight = p[f"experts.{name}.weight"].transpose(1, 2)
        return torch.baddbmm(p[f"experts.{name}.bias"][:, None], rows, weight) if f"experts.{name}.bias" in p else torch.bmm(rows, weight)

    rows, act = x.expand(shape.experts, *x.shape), ACTIVATIONS[shape.activation]
    hidden = act(layer(rows, "gate")) * layer(rows, "up") if shape.gated else act(layer(rows, "up"))
    return torch.einsum("etd,te->td", layer(hidden, "down"), all_weights)


def gathered(x, p, shape, routing=None):
    """The chosen experts' matrices for each token: for a few tokens."""
    weights, chosen = routing or route(x, p, shape)
    act = ACTIVATIONS[shape.activation]

    def layer(rows, name):  # rows (T, K, D)
        result = torch.einsum("tkd,tkhd->tkh", rows, p[f"experts.{name}.weight"][chosen])
        return result + p[f"experts.{name}.bias"][chosen] if f"experts.{name}.bias" in p else result

    rows = x[:, None].expand(-1, shape.choices, -1)
    hidden = act(layer(rows, "gate")) * layer(rows, "up") if shape.gated else act(layer(rows, "up"))
    return (layer(hidden, "down") * weights[..., None]).sum(dim=1)


FORMS = {"loop": loop, "sorted": sorted_rows, "grouped": grouped, "dense": dense, "gathered": gathered}
