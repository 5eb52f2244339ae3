"""lucidrains' st-moe-pytorch: TopNGating."""
import importlib.metadata

from st_moe_pytorch import st_moe_pytorch as package
from torch.func import functional_call

from suite import BATCHED, WIDTH, Routed, Row, repeatable

VERSION = importlib.metadata.version("st-moe-pytorch")


def by_mode(value, mode):
    return value[mode] if isinstance(value, dict) else value


def as_tuple(value):
    return tuple(value) if isinstance(value, list) else value


def run(row, x, parameters, draws, training):
    gate = row.gate
    module = package.TopNGating(WIDTH, row.experts, top_n=gate["top_k"], straight_through_dispatch_tensor=gate.get("straight_through", True),
                                **{f"{name}_{mode}": as_tuple(by_mode(gate[key], mode)) for key, name in (("capacity", "capacity_factor"), ("threshold", "threshold"))
                                   for mode in ("train", "eval")}).train(training)
    chosen, topk = [], module.topk

    def recorded(scores, k):
        found = topk(scores, k=k)
        chosen.append(found.indices)
        return found

    module.topk = recorded
    queue = ([draws["noise"]] if "noise" in draws else []) + [draws["policy"].reshape(*x.shape[:2], -1).transpose(2, 0, 1).copy()]
    with repeatable(queue, x.dtype):
        dispatch, combine, balance, z = functional_call(module, {"to_gates.weight": parameters["weight"]}, (x,),
                                                        {"noise_gates": "noise" in draws, "noise_mult": gate.get("noise", 0.0)})
    indices = chosen[0]  # (b, n, K)
    kept = dispatch.sum(dim=-1).detach().gather(-1, indices) > 0.5
    aux = {"balance_loss": balance, "z_loss": z} if training else {}
    return Routed(combine.sum(dim=-1).reshape(-1, row.experts), indices.where(kept, -1).flatten(0, 1), aux, dispatch=dispatch.sum(dim=-1).reshape(-1, row.experts))


def rows():
    base = {"kind": "top_n", "top_k": 2, "threshold": {"train": 0.2, "eval": 0.4}, "capacity": {"train": 1.25, "eval": 2.0}, "balance_loss": 0.3, "z_loss": 0.2}
    for name, experts, changes in (("two", 5, {}), ("three", 5, {"top_k": 3}),
                                   ("thresholds", 5, {"top_k": 4, "threshold": {"train": [0.1, 0.3, 0.9], "eval": [0.6, 0.0, 0.2]}}),
                                   ("plain", 5, {"straight_through": False}), ("all", 3, {"top_k": 3, "threshold": 0.0}), ("noise", 4, {"noise": 0.7}),
                                   ("tight", 3, {"capacity": {"train": 0.6, "eval": 0.9}})):
        gate = base | changes

        def drawn(shape, gate=gate, experts=experts):
            return {"policy": ((shape[0] * shape[1], gate["top_k"]), "uniform")} | ({"noise": ((*shape, experts), "uniform")} if "noise" in gate else {})

        yield Row(f"top_n.st-moe-pytorch.{name}", "st-moe-pytorch", gate, {"weight": (experts, WIDTH)}, run, experts, drawn, BATCHED, huge=8.0)
