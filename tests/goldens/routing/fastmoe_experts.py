"""FastMoE's layers on a CPU (fastmoe_on_cpu.py): FMoETransformerMLP, FMoELinear, lists of experts, masks; and zhaozijie2022/soft-moe's Mlp, PyTorch's own layers and blocks
of one's own as its experts.
"""
import numpy as np
import torch
from torch import nn
from torch.func import functional_call

import fastmoe_on_cpu
from layers import Done, Row, mlp_shapes, pair, said_of
from suite import WIDTH, repeatable
from torch_layers import ACTIVATIONS, alone, feed_forward

VERSION = fastmoe_on_cpu.VERSION[:7]


class Called(nn.Module):
    """FastMoE hands experts the counts of their rows, too."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, rows, _):
        return self.function(rows)


def groups_of(experts, path="y.experts"):
    """(path, kind's JSON, number of the expert in it) of every expert."""
    listed = [(f"{path}.{i}", each) for i, each in enumerate(experts)] if isinstance(experts, list) else [(path, experts)]
    return [(path, each, e) for path, each in listed for e in range(each["count"])]


def shapes_of(experts, path="y.experts"):
    shapes = {}
    for path, each, e in groups_of(experts, path):
        shapes |= mlp_shapes(path, each, (each["count"],)) if e == 0 else {}
    return shapes


def through(fmoe, x, parameters, choices, experts, **more):
    """(y, the choices) of FMoE with NaiveGate; `experts` are functions of rows, or FMoETransformerMLP's arguments."""
    if isinstance(experts, dict):
        layer = fmoe.FMoETransformerMLP(d_model=WIDTH, top_k=choices, **experts)
    else:
        layer = fmoe.FMoE(d_model=WIDTH, top_k=choices, expert=[lambda _, each=each: Called(each) for each in experts], **more)
    chosen = []
    layer.gate.register_forward_hook(lambda _, __, result: chosen.append(result[0]))
    given = {f"gate.gate.{kind}": parameters[f"y.gate.{kind}"] for kind in ("weight", "bias")}
    if isinstance(experts, dict):
        for e in range(experts["num_expert"]):
            given |= {f"experts.{e}.{theirs}.{kind}": parameters[f"y.experts.{ours}.{kind}"][e:e + 1]
                      for ours, theirs in (("up", "htoh4"), ("down", "h4toh")) for kind in ("weight", "bias")}
    with repeatable([], x.dtype):
        y = functional_call(layer, given, (x,))
    return y, chosen[0].reshape(len(x), -1)


def rows(fmoe, light):
    """`light`: zhaozijie2022/soft-moe's module."""

    def row(name, kind, experts, choices, run, family="expert", extra=None, origin="fastmoe", **more):
        count = sum(each["count"] for each in experts) if isinstance(experts, list) else experts["count"]
        block = {"kind": "moe", "name": "y", "gate": {"kind": "top_k", "top_k": choices}, "experts": experts} | (extra or {})
        said = {"experts": experts} | (extra or {}) if family == "block" else said_of(experts, kind)
        shapes = pair("y.gate", count, WIDTH) | shapes_of(experts)
        steep = sorted({f"{path}.{part}" for path, *_ in groups_of(experts) for part in ("up", "gate", "layers.0")})
        return Row(f"{kind}.{name}", origin, family, kind, said, [block], shapes, run, layers=tuple(steep), **more)

    def of_experts(row):
        return row.blocks[0]["experts"]

    def run_mlp(row, inputs, parameters, draws, training):
        experts = of_experts(row)
        y, chosen = through(fmoe, inputs["x"], parameters, row.blocks[0]["gate"]["top_k"],
                            {"num_expert": experts["count"], "d_hidden": experts["hidden"], "activation": ACTIVATIONS[experts.get("activation", "gelu")]})
        return Done(y, {"y.gate": chosen})

    for name, count, choices, hidden, activation in (("", 4, 2, 3, "gelu"), (".one", 1, 1, 3, "tanh"), (".all", 3, 3, 1, "silu")):
        yield row("fastmoe" + name, "mlp", {"kind": "mlp", "count": count, "hidden": hidden, "activation": activation}, choices, run_mlp)

    def run_linear(row, inputs, parameters, draws, training):
        experts = of_experts(row)

        def expert(e):
            layer = fmoe.FMoELinear(1, WIDTH, experts.get("out", WIDTH), bias=experts.get("bias", True))
            given = {kind: parameters[f"y.experts.{kind}"][e:e + 1] for kind in ("weight", "bias") if f"y.experts.{kind}" in parameters}
            return lambda rows: functional_call(layer, given, (rows, torch.tensor([len(rows)])))

        y, chosen = through(fmoe, inputs["x"], parameters, row.blocks[0]["gate"]["top_k"], [expert(e) for e in range(experts["count"])])
        return Done(y, {"y.gate": chosen})

    for name, choices, experts in (("", 2, {"count": 4}), (".out", 3, {"count": 4, "out": 6, "bias": False}), (".narrow", 1, {"count": 3, "out": 1})):
        experts = {"kind": "linear"} | experts
        yield row("fastmoe" + name, "linear", experts, choices, run_linear, out=experts.get("out", WIDTH))

    def run_written(row, inputs, parameters, draws, training):
        """FMoE with PyTorch's layers as experts."""
        experts = groups_of(of_experts(row))
        y, chosen = through(fmoe, inputs["x"], parameters, row.blocks[0]["gate"]["top_k"],
                            [lambda rows, path=path, each=each, e=e: feed_forward(each, alone(parameters, path, e), rows) for path, each, e in experts])
        return Done(y, {"y.gate": chosen})

    kinds = [{"kind": "mlp", "count": 2, "hidden": 3}, {"kind": "linear", "count": 1}, {"kind": "gated_mlp", "count": 1, "hidden": 3, "activation": "sigmoid"},
             {"kind": "mlp", "count": 2, "widths": [3, 5, 4], "activation": "elu", "bias": False}]
    yield row("fastmoe.kinds", "moe", kinds, 2, run_written, "block")
    gated = {"kind": "gated_mlp", "count": 3, "hidden": 3, "bias": True, "out": 3, "activation": "gelu_tanh"}
    yield row("fastmoe.out", "gated_mlp", gated, 2, run_written, out=3)
    softplus = {"kind": "mlp", "count": 3, "hidden": 3, "out": 5, "bias": False, "activation": "softplus"}
    yield row("fastmoe.out", "mlp", softplus, 2, run_written, out=5, steep=4.0)  # above 20 PyTorch's is x itself

    # Every activation: an expert each, and all are chosen.
    for name, kind, said in ((".activations", "mlp", "activation"), (".outputs", "mlp", "output_activation"), (".activations", "gated_mlp", "activation")):
        experts = [{"kind": kind, "count": 1, "hidden": 2, said: word} for word in ACTIVATIONS]
        yield row("fastmoe" + name, kind, experts, len(experts), run_written, steep=4.0)

    def masks(case, rng):
        mask = rng.integers(0, 4, case.shape)
        mask[0] = 0  # where all are masked, gradients are what rounding leaves
        return {"mask": mask.astype(np.int64)}

    def run_masked(row, inputs, parameters, draws, training):
        mask, block = inputs["mask"], row.blocks[0]
        experts = groups_of(of_experts(row))
        y, chosen = through(fmoe, inputs["x"], parameters, block["gate"]["top_k"],
                            [lambda rows, path=path, each=each, e=e: feed_forward(each, alone(parameters, path, e), rows) for path, each, e in experts],
                            mask=mask, mask_dict=dict(enumerate(block["mask_values"], 1)))
        return Done(y, {"y.gate": torch.where(mask[:, None] == 0, chosen, -1)})

    yield row("fastmoe.masked", "moe", {"kind": "mlp", "count": 3, "hidden": 3}, 2, run_masked, "block", {"from": "x", "mask": "mask", "mask_values": [0.75, -1.5]},
                 others=masks, said_inputs={"mask": {"shape": ["tokens"], "dtype": "i64"}})

    def run_light(row, inputs, parameters, draws, training):
        """zhaozijie2022/soft-moe's Mlp."""
        experts = of_experts(row)
        widths = experts["widths"]

        def expert(e):
            mine = alone(parameters, "y.experts", e)
            module = light.Mlp(WIDTH, widths[-1], widths[:-1], ACTIVATIONS[experts["activation"]], ACTIVATIONS[experts.get("output_activation", "identity")],
                               experts.get("layer_norm", False), experts.get("output_layer_norm", False), experts.get("residual", False))
            given, last = {}, len(widths) - 1
            for i in range(len(widths)):
                for kind in ("weight", "bias"):
                    given["last_fc." + kind if i == last else f"fcs.{i}.{kind}"] = mine[f"layers.{i}.{kind}"]
                    if f"layers.{i}.layer_norm.{kind}" in mine:
                        given["last_ln." + kind if i == last else f"layer_norms.{i}.{kind}"] = mine[f"layers.{i}.layer_norm.{kind}"]
            return lambda rows: functional_call(module, given, (rows,))

        y, chosen = through(fmoe, inputs["x"], parameters, row.blocks[0]["gate"]["top_k"], [expert(e) for e in range(experts["count"])])
        return Done(y, {"y.gate": chosen})

    norms = {"kind": "mlp", "count": 2, "widths": [3, 3, 4], "activation": "relu", "layer_norm": True, "output_layer_norm": True, "output_activation": "relu"}
    yield row("light.norms", "mlp", norms, 2, run_light, origin="zhaozijie2022/soft-moe")
    yield row("light.residual", "mlp", {"kind": "mlp", "count": 2, "widths": [4, 3, 3, 4], "activation": "tanh", "layer_norm": True, "residual": True}, 2, run_light,
              origin="zhaozijie2022/soft-moe")
