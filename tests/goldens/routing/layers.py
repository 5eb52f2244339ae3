"""Rows of whole layers and of losses, for which suite.py makes the cases: any blocks as moec writes them, and a function that runs the original on the same
parameters and inputs. Knows no kind.
"""
import contextlib
import dataclasses
import json
from typing import Callable

import numpy as np
import torch

import suite
from suite import FLAT, MARGIN, WIDTH, Case, Margin

BATCHED = (  # smaller than those of gates, for layers have more parameters
    Case("t1", (1, 1)), Case("t2", (2, 2)), Case("t3", (1, 3)), Case("t11", (2, 11)),
    Case("starved", (2, 7), "starved"), Case("one-expert", (2, 5), "one-expert"),
    Case("ties", (2, 5), "ties", True), Case("zero", (1, 5), "zero", True), Case("huge", (2, 6), "huge", True),
)
FLAT_ALL, BATCHED_ALL = (tuple(case for case in cases if case.effect not in ("starved", "one-expert")) for cases in (FLAT, BATCHED))  # where nobody chooses
SMALL = 1e-5  # of the largest: how near to 0 an input of ReLU may be, where its slope changes


@dataclasses.dataclass
class Done:
    """What an original did: `choices` {the gate's path: (T, K)}, -1 where one was dropped; `losses` {path: (coefficient, value)}; `loss`, where it is not the
    mean squared error of y to the target; `gradients`, where parameters were not the leaves: a function that gives them behind the backward pass."""
    y: torch.Tensor
    choices: dict = dataclasses.field(default_factory=dict)
    losses: dict = dataclasses.field(default_factory=dict)
    loss: torch.Tensor | None = None
    gradients: Callable | None = None


@dataclasses.dataclass
class Row:
    """A model, to be compiled once. Its last block is "y" in `blocks`; `parameters`: {path: shape}; `run(row, inputs, parameters, draws, training)`: a Done.
    `said`: the parameters of the kind that the row is for, in the manifest."""
    name: str
    origin: str
    family: str  # expert, block or loss
    kind: str
    said: dict | list
    blocks: list
    parameters: dict
    run: Callable
    cases: tuple = FLAT
    out: int = WIDTH  # y's width
    shape: Callable = lambda shape: (*shape, WIDTH)  # x's, of a case's
    sizes: tuple | None = None  # x's in the model, where they are not its tokens and the width
    others: Callable = lambda case, rng: {}  # further inputs
    said_inputs: dict = dataclasses.field(default_factory=dict)  # the same in the model: {name: its JSON}
    constants: tuple = ()  # those of them that no gradient is of
    draws: Callable = lambda shape: {}  # {path: (shape, "uniform" or "normal")}
    loss: dict | None = None
    named: dict = dataclasses.field(default_factory=dict)  # the model's "blocks"
    refuses: Callable = lambda shape, mode: False
    routers: tuple = ("y.gate.weight",)  # matrices whose columns decide who chooses whom
    huge: float = 1e6  # what those are multiplied by in the case of that name
    steep: float = 1e3  # the same of `layers`
    layers: tuple = ()  # the beginnings of parameters in front of what saturates
    scales: dict = dataclasses.field(default_factory=dict)  # {path: deviation}, where it is not the rule below
    inexact: dict = dataclasses.field(default_factory=dict)
    note: str = ""

    always_told = True

    # --- what suite.py asks of a row ---

    def numbers(self, case, rng):
        """(x, other inputs, parameters, draws), all exact in f32. The last column of x is 1, so that that of a router is a bias."""
        tie = case.effect == "ties"
        shape = self.shape(case.shape)
        x = np.asarray(rng.integers(-1, 2, shape) if tie else rng.standard_normal(shape), np.float32)
        x[..., -1] = 1.0
        parameters = {path: self.parameter(path, shape, case.effect, rng) for path, shape in self.parameters.items()}
        others = self.others(case, rng)
        if self.loss is None:
            others["target"] = np.asarray(rng.standard_normal((*shape[:-1], self.out) if self.sizes is None else shape), np.float32)
        return x, others, parameters, {path: suite.draw(rng, *rule) for path, rule in self.draws(case.shape).items()}

    def parameter(self, path, shape, effect, rng):
        if effect == "zero":
            return np.zeros(shape, np.float32)
        if effect == "ties":
            return np.asarray(rng.integers(-1, 2, shape), np.float32)
        if path in self.routers:
            return suite.changed(np.asarray(1.5 * rng.standard_normal(shape), np.float32), "weight", effect, self.huge)
        if "norm." in path or path.endswith(("multiplier", "scale")):
            value = (0.0 if path.endswith("bias") else 1.0) + 0.4 * rng.standard_normal(shape)
        else:
            value = rng.standard_normal(shape) * self.scales.get(path, 0.3 if path.endswith("bias") else 1.2 / shape[-1] ** 0.5)
        value = np.asarray(value, np.float32)
        return value * np.float32(self.steep) if effect == "huge" and path.startswith(self.layers) else value

    def compute(self, made, dtype, training):
        x, others, parameters, draws = made
        leaves = {path: torch.from_numpy(value).to(dtype).requires_grad_() for path, value in parameters.items()}
        inputs = {name: torch.from_numpy(value).to(dtype) if value.dtype == np.float32 else torch.from_numpy(value) for name, value in {"x": x, **others}.items()}
        differentiated = [name for name, tensor in inputs.items() if tensor.is_floating_point() and name not in ("target", *self.constants)]
        for name in differentiated:
            inputs[name].requires_grad_()
        with kinks():
            done = self.run(self, inputs, leaves, draws, training)
        chosen = {f"choices/{path}": np.ascontiguousarray(value.detach().numpy().astype(np.int32)) for path, value in done.choices.items()}
        y = done.y.detach().numpy()
        if not training:
            return y, chosen, {}, {}
        total = torch.nn.functional.mse_loss(done.y, inputs["target"]) if done.loss is None else done.loss
        for coefficient, value in done.losses.values():
            total = total + coefficient * value.reshape(()).to(dtype)
        total.backward()
        losses = {"loss": total} | {path: value for path, (_, value) in done.losses.items()}

        def of(leaf):
            return np.ascontiguousarray((torch.zeros_like(leaf) if leaf.grad is None else leaf.grad).numpy())

        gradients = {path: of(leaf) for path, leaf in leaves.items()} if done.gradients is None else done.gradients()
        gradients |= {name: of(inputs[name]) for name in differentiated}
        return y, chosen, {name: value.detach().reshape(()).to(dtype).numpy() for name, value in losses.items()}, gradients

    def given(self, case, made):
        x, others, parameters, draws = made
        tensors = {f"inputs/{name}": value for name, value in {"x": x, **others}.items()} | {"weights": self.packed(parameters)}
        return tensors | {f"draws/{path}": value for path, value in draws.items()}

    def packed(self, values):
        """One array of all parameters' numbers, one behind the other: a file's list of many small ones would be larger than they are."""
        return np.concatenate([values[path].reshape(-1) for path in self.parameters])

    def kept_gradients(self, dtype, gradients):
        """Of f64 alone: suite.py makes sure that the original's in f32 are the same within half of what f32 is held to."""
        if dtype != "f64":
            return {}
        kept = {"f64/parameter_gradients": self.packed(gradients)} if gradients else {}
        return kept | {f"f64/gradients/{path}": value for path, value in gradients.items() if path not in self.parameters}

    def does_its_work(self, case, chosen):
        if not chosen or not any(path in self.parameters for path in self.routers):
            return True
        indices = next(iter(chosen.values()))
        experts = self.parameters[next(path for path in self.routers if path in self.parameters)][0]
        if case.effect == "starved" and indices.shape[1] < experts:
            return 2 % experts not in indices
        if case.effect == "one-expert":
            return set(indices[:, 0]) <= {1 % experts, -1}
        return True

    def metadata(self):
        return {"model": json.dumps(self.text()), "parameters": json.dumps(self.parameters)}

    def text(self):
        """The model's file, but for its dtype."""
        tokens = ["tokens"] if len(self.cases[0].shape) == 1 else ["batch", "tokens"]
        inputs = {"x": {"shape": [*tokens, WIDTH] if self.sizes is None else list(self.sizes)}} | self.said_inputs
        loss = self.loss
        if loss is None:
            loss = {"kind": "mse", "prediction": "y", "target": "target"}
            inputs["target"] = {"shape": [*inputs["x"]["shape"][:-1], self.out] if self.sizes is None else inputs["x"]["shape"], "for": "loss"}
        return {"name": "routing", "inputs": inputs} | ({"blocks": self.named} if self.named else {}) | {"model": self.blocks, "outputs": ["y"], "loss": loss}

    def entry(self):
        return {"family": self.family, "kind": self.kind, "parameters": self.said}


# --- what originals share ---

@contextlib.contextmanager
def kinks():
    """Inside, an input of a ReLU that is nearly 0, but not 0, counts as a decision too close to call."""
    functional = torch.nn.functional
    before = {(torch, "relu"): torch.relu, (functional, "relu"): functional.relu, (functional, "leaky_relu"): functional.leaky_relu}

    def noted(original):
        def call(x, *arguments, **more):
            sizes = x.detach().abs()
            near = sizes[sizes > 0]
            if near.numel() and near.min() < SMALL * sizes.max():
                Margin.least = min(Margin.least, MARGIN / 2)
            return original(x, *arguments, **more)
        return call

    for (owner, name), original in before.items():
        setattr(owner, name, noted(original))
    try:
        yield
    finally:
        for (owner, name), original in before.items():
            setattr(owner, name, original)


def pair(path, out, width, count=(), bias=True):
    """The shapes of a linear layer, of each of `count` experts."""
    return {f"{path}.weight": (*count, out, width)} | ({f"{path}.bias": (*count, out)} if bias else {})


def mlp_shapes(path, expert, count=(), width=WIDTH):
    """Of the kinds mlp, gated_mlp and linear, as moec names them."""
    bias = expert.get("bias", expert["kind"] != "gated_mlp")
    out = expert.get("out", width)
    if expert["kind"] == "linear":
        return pair(path, out, width, count, bias)
    hidden = expert.get("hidden")
    if expert["kind"] == "gated_mlp":
        shapes = pair(f"{path}.gate", hidden, width, count, bias) | pair(f"{path}.up", hidden, width, count, bias) | pair(f"{path}.down", out, hidden, count, bias)
        return shapes | ({f"{path}.multiplier": (*count, hidden)} if expert.get("multiplier") else {})
    names = [("up", hidden), ("down", out)] if hidden else [(f"layers.{i}", width) for i, width in enumerate(expert["widths"])]
    shapes = {}
    for i, (name, out) in enumerate(names):
        shapes |= pair(f"{path}.{name}", out, width, count, bias)
        if expert.get("output_layer_norm" if i + 1 == len(names) else "layer_norm"):
            shapes |= {f"{path}.{name}.layer_norm.{kind}": (*count, out) for kind in ("weight", "bias")}
        width = out
    return shapes


def said_of(experts, kind):
    """What the manifest says of experts: the parameters of each of a kind."""
    listed = experts if isinstance(experts, list) else [experts]
    return [{key: value for key, value in expert.items() if key not in ("kind", "count")} for expert in listed if expert["kind"] == kind]
