"""Feed-forward networks of PyTorch's own functions, by moec's names: what experts are where a package takes any module."""
import torch
from torch.nn import functional
from transformers.activations import ACT2FN

ACTIVATIONS = {  # looked up at the call: layers.py watches ReLU
    "relu": lambda x: functional.relu(x), "gelu": functional.gelu, "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"), "tanh": torch.tanh,
    "sigmoid": torch.sigmoid, "silu": functional.silu, "quick_gelu": ACT2FN["quick_gelu"], "leaky_relu": lambda x: functional.leaky_relu(x),
    "softplus": functional.softplus, "elu": functional.elu, "identity": lambda x: x,
}


def alone(parameters, path, e):
    """The parameters below a path, of expert e, without the path; "weight" is what stands at the path itself."""
    return {name.removeprefix(path).removeprefix("."): value[e] for name, value in parameters.items() if name.startswith(path + ".")}


def feed_forward(expert, mine, x):
    """One expert of kind mlp, gated_mlp or linear, without norms."""
    def linear(name, x):
        name = name + "." if name else ""
        return functional.linear(x, mine[name + "weight"], mine.get(name + "bias"))

    if expert["kind"] == "linear":
        return linear("", x)
    act = ACTIVATIONS[expert.get("activation", "silu" if expert["kind"] == "gated_mlp" else "gelu")]
    last = ACTIVATIONS[expert.get("output_activation", "identity")]
    if expert["kind"] == "gated_mlp":
        return linear("down", act(linear("gate", x)) * linear("up", x))
    names = ["up", "down"] if "hidden" in expert else [f"layers.{i}" for i in range(len(expert["widths"]))]
    for name in names[:-1]:
        x = act(linear(name, x))
    return last(linear(names[-1], x))
