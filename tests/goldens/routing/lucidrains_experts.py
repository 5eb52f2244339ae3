"""Whole layers of lucidrains' packages: mixture-of-experts' MoE with a network of one's own, st-moe-pytorch's MoE and SparseMoEBlock."""
import torch
from mixture_of_experts import mixture_of_experts as flat_package
from st_moe_pytorch import st_moe_pytorch as st_package
from torch import nn
from torch.func import functional_call

import lucidrains_package
from layers import BATCHED, Done, Row, mlp_shapes, pair, said_of
from suite import WIDTH, repeatable

TOP_2 = {"kind": "top_2", "policy": "all", "threshold": 0.2, "capacity": {"train": 1.25, "eval": 2.0}, "balance_loss": 0.01}
TOP_N = {"kind": "top_n", "top_k": 2, "threshold": 0.2, "capacity": {"train": 1.25, "eval": 2.0}, "balance_loss": 0.01, "z_loss": 0.001}


class ThreeMatrices(nn.Module):
    """The experts of one's own of the package's README, with hidden widths to choose."""

    def __init__(self, shapes):
        super().__init__()
        self.matrices = nn.ParameterList(nn.Parameter(torch.empty(shape)) for shape in shapes)

    def forward(self, x):  # (E, rows, D)
        first, second, third = self.matrices
        x = nn.functional.leaky_relu(torch.einsum("end,edh->enh", x, first))
        x = nn.functional.leaky_relu(torch.einsum("end,edh->enh", x, second))
        return torch.einsum("end,edh->enh", x, third)


def mixture(row, inputs, parameters, training, names, experts):
    """mixture-of-experts' MoE; `names`: {its parameter: moec's}, whose matrices are transposed."""
    block, found = row.blocks[0], []
    gate, count = block["gate"], block["experts"]["count"]
    layer = flat_package.MoE(WIDTH, num_experts=count, loss_coef=gate["balance_loss"], experts=experts, **lucidrains_package.gate_arguments(gate))
    top1 = flat_package.top1

    def recording(scores):
        index = scores.argmax(dim=-1)
        found.append((scores.gather(-1, index[..., None]).squeeze(-1), index))
        return found[-1]

    dispatched = []
    layer.gate.register_forward_hook(lambda _, __, result: dispatched.append(result[0]))
    given = {"gate.w_gating": parameters["y.gate.weight"].mT} | {theirs: parameters[ours].mT for theirs, ours in names.items()}
    flat_package.top1 = recording
    try:
        with repeatable([], inputs["x"].dtype):
            y, loss = functional_call(layer.to(inputs["x"].dtype).train(training), given, (inputs["x"],))
    finally:
        flat_package.top1 = top1
    indices = lucidrains_package.routing_of(found, None, dispatched[0])[0]
    losses = {"y.gate.balance_loss": (gate["balance_loss"], loss / gate["balance_loss"])}
    return Done(y, {"y.gate": indices.flatten(0, 1)}, losses if training else {})


def run_three(row, inputs, parameters, draws, training):
    names = [f"y.experts.{name}.weight" for name in ("first", "second", "third")]
    experts = ThreeMatrices([tuple(parameters[name].mT.shape) for name in names])
    return mixture(row, inputs, parameters, training, {f"experts.matrices.{i}": name for i, name in enumerate(names)}, experts)


def st_expert(parameters, path, e=None):
    """st-moe-pytorch's Expert: the gate is the second half of its first layer."""
    def of(name):
        value = parameters[f"{path}.{name}"]
        return value if e is None else value[e]

    given = {f"0.{kind}": torch.cat([of(f"up.{kind}"), of(f"gate.{kind}")]) for kind in ("weight", "bias")}
    return given | {"1.mult_bias": of("multiplier")} | {f"2.{kind}": of(f"down.{kind}") for kind in ("weight", "bias")}


def st_layer(row, gate, count, hidden):
    return st_package.MoE(WIDTH, num_experts=count, expert_hidden_mult=(hidden + 0.5) * 1.5 / WIDTH, gating_top_n=gate["top_k"], balance_loss_coef=gate["balance_loss"],
                          router_z_loss_coef=gate["z_loss"], threshold_train=gate["threshold"], threshold_eval=gate["threshold"],
                          capacity_factor_train=gate["capacity"]["train"], capacity_factor_eval=gate["capacity"]["eval"])


def st_given(parameters, gate_path, experts_path, count):
    given = {"gate.to_gates.weight": parameters[gate_path]}
    for e in range(count):
        given |= {f"experts.experts.{e}.net.{name}": value for name, value in st_expert(parameters, experts_path, e).items()}
    return given


def st_call(layer, moe, given, x, draws, training):
    """(the layer's result, the choices of `moe` inside it, dropped ones -1)."""
    chosen, dispatched, topk = [], [], moe.gate.topk
    moe.gate.topk = lambda scores, k: chosen.append(topk(scores, k=k)) or chosen[-1]
    moe.gate.register_forward_hook(lambda _, __, result: dispatched.append(result[0]))
    (policy,) = draws.values()
    with repeatable([policy.reshape(*x.shape[:2], -1).transpose(2, 0, 1).copy()], x.dtype):
        result = functional_call(layer.to(x.dtype).train(training), given, (x,))
    indices = chosen[0].indices
    kept = dispatched[0].sum(dim=-1).detach().gather(-1, indices) > 0.5
    return result, indices.where(kept, -1).flatten(0, 1)


def st_losses(path, gate, result, training):
    return {f"{path}.balance_loss": (gate["balance_loss"], result.balance_loss),
            f"{path}.z_loss": (gate["z_loss"], result.router_z_loss)} if training else {}


def run_st(row, inputs, parameters, draws, training):
    block = row.blocks[0]
    gate, experts = block["gate"], block["experts"]
    layer = st_layer(row, gate, experts["count"], experts["hidden"])
    result, chosen = st_call(layer, layer, st_given(parameters, "y.gate.weight", "y.experts", experts["count"]), inputs["x"], draws, training)
    return Done(result.outputs, {"y.gate": chosen}, st_losses("y.gate", gate, result, training))


def run_st_block(row, inputs, parameters, draws, training):
    """SparseMoEBlock: a feed-forward in front, the mixture behind an RMSNorm, a feed-forward behind, each around its input."""
    block = row.blocks[1]["body"][1]
    gate, experts = block["gate"], block["experts"]
    moe = st_layer(row, gate, experts["count"], experts["hidden"])
    layer = st_package.SparseMoEBlock(moe, add_ff_before=True, add_ff_after=True)
    given = {f"moe.{name}": value for name, value in st_given(parameters, "moe.gate.weight", "moe.experts", experts["count"]).items()}
    given["moe_prenorm.gamma"] = parameters["moe_norm.weight"]
    for name, theirs in (("before", "ff_before"), ("after", "ff_after")):
        given |= {f"{theirs}.net.0.gamma": parameters[f"{name}_norm.weight"]}
        given |= {f"{theirs}.net.{int(key[0]) + 1}{key[1:]}": value for key, value in st_expert(parameters, name).items()}
    result, chosen = st_call(layer, moe, given, inputs["x"], draws, training)
    return Done(result.outputs, {"moe.gate": chosen}, st_losses("moe.gate", gate, result, training))


def rows():
    def row(name, origin, kind, gate, experts, run, **more):
        count = experts["count"]
        block = {"kind": "moe", "name": "y", "gate": gate, "experts": experts}
        shapes = pair("y.gate", count, WIDTH, bias=False) | (more.pop("shapes", None) or mlp_shapes("y.experts", experts, (count,)))
        family, said = more.pop("family", "expert"), more.pop("said", said_of(experts, kind))
        return Row(f"{kind}.{origin}.{name}", origin, family, kind, said, [block], shapes, run, BATCHED, huge=8.0, **more)

    body = [{"kind": "linear", "name": name, "out": out, "bias": False} for name, out in (("first", 3), ("second", 5), ("third", "$out"))]
    for i in (2, 1):
        body.insert(i, {"kind": "activation", "function": "leaky_relu"})
    named = {"three_matrices": {"parameters": {"out": WIDTH}, "body": body}}
    experts = {"kind": "three_matrices", "count": 3}
    shapes = {f"y.experts.{name}.weight": (3, out, width) for name, out, width in (("first", 3, WIDTH), ("second", 5, 3), ("third", WIDTH, 5))}
    yield row("custom", "mixture-of-experts", "moe", TOP_2, experts, run_three, family="block", said={"experts": experts}, shapes=shapes, named=named, layers=("y.experts.first",))

    def policy(path, choices):
        return lambda shape: {f"{path}.gate.policy": ((shape[0] * shape[1], choices), "uniform")}

    geglu = {"kind": "gated_mlp", "hidden": 2, "activation": "gelu", "bias": True, "multiplier": True}
    yield row("layer", "st-moe-pytorch", "gated_mlp", TOP_N, geglu | {"count": 3}, run_st, layers=("y.experts.up", "y.experts.gate"), draws=policy("y", 2))
    experts, norm = geglu | {"count": 2}, {"kind": "rms_norm", "eps": 0}
    blocks = [{"kind": "residual", "body": [norm | {"name": "before_norm"}, geglu | {"name": "before"}]},
              {"kind": "residual", "body": [norm | {"name": "moe_norm"}, {"kind": "moe", "name": "moe", "gate": TOP_N, "experts": experts}]},
              {"kind": "residual", "name": "y", "body": [norm | {"name": "after_norm"}, geglu | {"name": "after"}]}]
    shapes = {"before_norm.weight": (WIDTH,), "moe_norm.weight": (WIDTH,), "after_norm.weight": (WIDTH,)} | mlp_shapes("before", geglu) | mlp_shapes("after", geglu)
    shapes |= {"moe.gate.weight": (2, WIDTH)} | mlp_shapes("moe.experts", experts, (2,))
    yield Row("moe.st-moe-pytorch.block", "st-moe-pytorch", "block", "moe", {"gate": TOP_N, "experts": experts}, blocks, shapes, run_st_block, BATCHED, huge=8.0,
              routers=("moe.gate.weight",), draws=policy("moe", 2))
