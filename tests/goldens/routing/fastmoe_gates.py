"""FastMoE's gates, one worker, on a CPU (fastmoe_on_cpu.py): NaiveGate, NoisyGate, GShardGate, SwitchGate, ZeroGate."""
import math

import torch
from torch.func import functional_call

import fastmoe_on_cpu
from suite import WIDTH, Routed, Row, combined, repeatable

VERSION = fastmoe_on_cpu.VERSION[:7]


class Recorded:
    """A NoisyGate whose two losses are kept apart, and which leaves out the load in evaluation, where it divides by 0."""

    def __init__(self, gate):
        self.parts, cv_squared, in_top_k = [], gate.cv_squared, gate._prob_in_top_k

        def recorded(values):
            value = cv_squared(values)
            self.parts.append(value)
            return value

        gate.cv_squared = recorded
        gate._prob_in_top_k = lambda clean, *rest: in_top_k(clean, *rest) if gate.training else torch.ones_like(clean)


def rows(fmoe):
    def run_linear(row, x, parameters, draws, training):
        gate = row.gate
        kinds = {"gshard": fmoe.gates.GShardGate, "switch": fmoe.gates.SwitchGate, "top_k": fmoe.gates.NaiveGate}
        has_bias = "bias" in parameters
        module = kinds[gate["kind"]](WIDTH, row.experts, 1, gate.get("top_k", 1), gate_bias=has_bias).train(training)
        if "capacity" in gate:
            module.capacity = (gate["capacity"]["train"], gate["capacity"]["eval"])
        if gate["kind"] == "gshard":
            module.random_routing = gate["random_routing"]
        if gate["kind"] == "switch":
            module.switch_eps = gate["jitter"]
        given = {f"gate.{name}": value for name, value in parameters.items()}
        used = list(draws.values()) if training or gate["kind"] == "gshard" else []
        with repeatable(used, x.dtype):
            indices, weights = functional_call(module, given, (x,))
        aux = {"balance_loss": module.get_loss()} if "balance_loss" in gate else {}
        return Routed(combined(indices, weights.to(x.dtype), row.experts), indices, aux if training else {},
                      logits=torch.nn.functional.linear(x, parameters["weight"], parameters.get("bias")))

    def run_noisy(row, x, parameters, draws, training):
        module = fmoe.gates.NoisyGate(WIDTH, row.experts, 1, row.gate["top_k"]).train(training)
        recorded = Recorded(module)
        with repeatable(draws.values(), x.dtype):
            indices, weights = functional_call(module, {"w_gate": parameters["weight"].T, "w_noise": parameters["noise.weight"].T}, (x,))
        indices, weights = indices.view(len(x), -1), weights.view(len(x), -1)  # FMoE takes the flat ones for one choice per token
        aux = dict(zip(("importance_loss", "load_loss"), recorded.parts)) if training else {}
        return Routed(combined(indices, weights, row.experts), indices, aux)

    def run_zero(row, x, parameters, draws, training):
        indices, weights = fmoe.gates.ZeroGate(WIDTH, row.experts, 1, row.gate["top_k"])(x)
        indices, weights = indices.view(len(x), -1), weights.view(len(x), -1).to(x.dtype)
        return Routed(combined(indices, weights, row.experts), indices)

    def linear(name, gate, experts=5, bias=True, **more):
        shapes = {"weight": (experts, WIDTH)} | ({"bias": (experts,)} if bias else {})
        return Row(name, "fastmoe", gate | ({} if bias else {"bias": False}), shapes, run_linear, experts,
                   inexact=fastmoe_on_cpu.SHARES if "balance_loss" in gate else {}, **more)

    for name, experts, k in (("", 5, 2), (".k3", 7, 3), (".one", 1, 1), (".all", 4, 4)):
        yield linear("top_k.fastmoe" + name, {"kind": "top_k", "top_k": k}, experts, bias=name != ".k3")
    gshard = {"kind": "gshard", "top_k": 2, "capacity": {"train": 1.2, "eval": 2.4}, "random_routing": True, "balance_loss": 0.3}

    def nothing(experts, rates):
        return lambda shape, mode: math.ceil(rates[mode] * shape[0]) * 2 // experts == 0

    def uniform(name, columns):
        return lambda shape: {name: ((*shape, columns) if columns else shape, "uniform")}

    yield linear("gshard.fastmoe", gshard, draws=uniform("random_routing", 0), refuses=nothing(5, gshard["capacity"]))
    plain = gshard | {"random_routing": False, "z_loss": 0.2, "capacity": {"train": 0.7, "eval": 40.0}}
    yield linear("gshard.fastmoe.all", plain, experts=2, refuses=nothing(2, plain["capacity"]))
    yield linear("gshard.fastmoe.large", plain | {"capacity": {"train": 50.0, "eval": 1.0}}, experts=6, bias=False,
                 refuses=nothing(6, {"train": 50.0, "eval": 1.0}))
    switch = {"kind": "switch", "capacity": {"train": 1.2, "eval": 2.4}, "rounding": "up", "jitter": 0.1, "jitter_on": "logits",
              "balance_of": "kept", "balance_loss": 0.3, "bias": True}
    yield linear("switch.fastmoe", switch, draws=uniform("jitter", 5))
    yield linear("switch.fastmoe.one", switch, experts=1, draws=uniform("jitter", 1))
    noisy = {"kind": "noisy_top_k", "top_k": 2, "importance_loss": 0.3, "load_loss": 0.2}

    def noise(experts):
        return lambda shape: {"noise": ((*shape, experts), "normal")}

    for name, experts, k in (("", 5, 2), (".k1", 6, 1), (".one", 1, 1), (".all", 3, 3)):
        yield Row("noisy_top_k.fastmoe" + name, "fastmoe", noisy | {"top_k": k}, {"weight": (experts, WIDTH), "noise.weight": (experts, WIDTH)},
                  run_noisy, experts, noise(experts))
    for name, experts, k in (("", 5, 2), (".one", 1, 1)):
        yield Row("zero.fastmoe" + name, "fastmoe", {"kind": "zero", "top_k": k}, {}, run_zero, experts)
