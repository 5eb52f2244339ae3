"""What the makers of routing goldens share: the cases, the numbers that they start from, the mixture around a gate, what is stored.

An origin gives a Row: a gate as moec writes it, and a function that runs the original on tokens. The cases are the same for all.
Knows no gate.
"""
import collections
import contextlib
import dataclasses
import json
import math
from typing import Callable

import numpy as np
import torch

WIDTH = 4  # of tokens and of experts' results
MARGIN = 1e-4  # no gap between neighbouring scores down to the first one left out is smaller, but where equal ones are the case
FAR = 12.0  # how far the logits of an expert are moved that is to get nobody or everybody
MOST_OF_A_FILE, MOST_OF_ALL = 96 * 1024, 6 * 1024 * 1024  # bytes
DTYPES = {"f32": torch.float32, "f64": torch.float64}


@dataclasses.dataclass(frozen=True)
class Case:
    """Tokens and what is special about them. `ties`: equal scores are wanted, or follow from it."""
    name: str
    shape: tuple
    effect: str = ""
    ties: bool = False


FLAT = (
    Case("t1", (1,)), Case("t2", (2,)), Case("t3", (3,)), Case("t23", (23,)),
    Case("starved", (13,), "starved"), Case("one-expert", (11,), "one-expert"),
    Case("ties", (7,), "ties", True), Case("zero", (5,), "zero", True), Case("huge", (6,), "huge", True),
)
BATCHED = (
    Case("t1", (1, 1)), Case("t2", (2, 2)), Case("t3", (1, 3)), Case("t17", (3, 17)),
    Case("starved", (2, 13), "starved"), Case("one-expert", (2, 11), "one-expert"),
    Case("ties", (2, 7), "ties", True), Case("zero", (1, 5), "zero", True), Case("huge", (2, 6), "huge", True),
)


@dataclasses.dataclass
class Routed:
    """What an original did with T tokens. `combine` (T, E) weights each expert's result; `indices` (T, K) are -1 where a choice
    was dropped, None where nobody chooses; `aux` are losses by their path below the gate, without coefficients; `tokens` is what
    the experts take in the place of x; `outer` (T, K) are the choices of groups of experts; `logits` (.., E), where the row has a
    z_loss that the original lacks; `dispatch` (T, E), by which experts' inputs are multiplied."""
    combine: torch.Tensor
    indices: torch.Tensor | None
    aux: dict = dataclasses.field(default_factory=dict)
    tokens: torch.Tensor | None = None
    outer: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    dispatch: torch.Tensor | None = None
    learns: torch.Tensor | None = None  # the loss gets its gradient, but not its number


@dataclasses.dataclass
class Row:
    """One gate with its parameters, to be compiled once. `parameters`: {path below the gate: shape}; `draws(shape of x)`:
    {path below the gate: (shape, "uniform" or "normal")}; `run(row, x, parameters, draws, training)`: a Routed."""
    name: str
    origin: str
    gate: dict
    parameters: dict
    run: Callable
    experts: int = 5
    draws: Callable = lambda shape: {}
    cases: tuple = FLAT
    refuses: Callable = lambda shape, mode: False  # the original drops everything there, which moec says in place of it
    huge: float = 1e6  # what the gate's parameters are multiplied by in the case of that name
    inexact: dict = dataclasses.field(default_factory=dict)  # {"values" or "gradients": limit} of f64, where the original computes in f32
    note: str = ""
    made: dict = dataclasses.field(default_factory=dict)  # {path: function of (rng, shape)} of parameters that are not normals
    fixed: tuple = ()  # parameters that no loss depends on
    ids: int = 0  # with an input of ids below it, as draws["ids"]


# --- numbers ---

def numbers(row, case, rng):
    """(x, target, {path: parameter}, {path: draw}), all exact in f32. The last column of x is 1, so that that of a gate is a bias."""
    tie = case.effect == "ties"
    x = rng.integers(-1, 2, (*case.shape, WIDTH)) if tie else rng.standard_normal((*case.shape, WIDTH))
    x = np.asarray(x, np.float32)
    x[..., -1] = 1.0
    parameters = {}
    for path, shape in row.parameters.items():
        value = rng.integers(-1, 2, shape) if tie else rng.standard_normal(shape) * (0.3 if path.endswith("bias") else 1.5)
        value = row.made[path](rng, shape) if path in row.made else value
        parameters["moe.gate." + path] = changed(np.asarray(value, np.float32), path, case.effect, row.huge)
    parameters["moe.experts.weight"] = np.asarray(0.5 * rng.standard_normal((row.experts, WIDTH, WIDTH)), np.float32)
    parameters["moe.experts.bias"] = np.asarray(0.2 * rng.standard_normal((row.experts, WIDTH)), np.float32)
    draws = {path: draw(rng, *rule) for path, rule in row.draws(case.shape).items()}
    target = np.asarray(rng.standard_normal(x.shape), np.float32)
    if row.ids:
        draws["ids"] = rng.integers(0, row.ids, case.shape).astype(np.int32)
    return x, target, parameters, draws


def changed(value, path, effect, huge):
    """A gate's parameter by the case: `starved` and `one-expert` through the column that x meets with 1."""
    is_matrix = value.ndim >= 2 and path.split(".")[-1] == "weight"
    experts = value.shape[-2] if value.ndim >= 2 else len(value)
    if effect == "zero":
        return np.zeros_like(value)
    if effect == "huge":
        return value * np.float32(huge)
    if effect == "starved" and is_matrix:
        value[..., 2 % experts, -1] -= FAR if experts > 2 else FAR / 3
    if effect == "one-expert" and is_matrix:
        value[..., 1 % experts, -1] += FAR if experts > 2 else FAR / 3
    return value


def draw(rng, shape, distribution):
    if distribution == "normal":
        return rng.standard_normal(shape).astype(np.float32)
    return (rng.integers(0, 1 << 24, shape) * 2.0 ** -24).astype(np.float32)


# --- originals made repeatable ---

TopK = collections.namedtuple("TopK", ["values", "indices"])


class Margin:
    """The smallest gap that a top-k met, down to the first score left out; between probabilities, that of their logarithms, which is the logits'."""
    least = math.inf

    @classmethod
    def note(cls, ordered, k):
        kept = ordered[..., :k + 1].double()
        if kept.shape[-1] > 1 and kept.numel():
            kept = kept.log() if ((kept >= 0) & (kept <= 1)).all() else kept
            gaps = kept[..., :-1] - kept[..., 1:]
            cls.least = min(cls.least, gaps.nan_to_num(0.0).min().item())


def lowest_topk(values, k, dim=-1, largest=True, sorted=True):
    """torch.topk with the highest value first and the lowest index first among equals."""
    assert largest
    ordered, order = torch.sort(values, dim=dim, descending=True, stable=True)
    if values.is_floating_point() and dim in (-1, values.ndim - 1):  # the other way it chooses tokens, among zeros of those that are no candidates
        Margin.note(ordered.detach(), k)
    return TopK(ordered.narrow(dim, 0, k), order.narrow(dim, 0, k).contiguous())


def softmax_of(original):
    """F.softmax that keeps f64 where it is asked for f32."""
    def softmax(x, dim=None, _stacklevel=3, dtype=None):
        return original(x, dim=dim, dtype=x.dtype if x.dtype == torch.float64 else dtype)
    return softmax


@contextlib.contextmanager
def repeatable(draws, dtype):
    """Inside, top-k takes the lowest index of equals, each draw of torch's is the next of `draws` (all must be used), and in models of f64 what
    the original would compute in f32 stays f64 where it says `.float()` or softmax(dtype=)."""
    queue = [torch.from_numpy(value).to(dtype) for value in draws]

    def next_of(shape):
        value = queue.pop(0)
        assert tuple(value.shape) == tuple(shape), (value.shape, shape)
        return value.clone()

    def uniform(self, low=0.0, high=1.0):
        return self.copy_(low + (high - low) * next_of(self.shape))

    def argmax(values, dim=None, keepdim=False):
        if dim is not None and values.is_floating_point():
            Margin.note(torch.sort(values.detach(), dim=dim, descending=True)[0].movedim(dim, -1), 1)
        return original_argmax(values, dim=dim, keepdim=keepdim)

    original_argmax = torch.argmax
    changes = {
        (torch, "topk"): lowest_topk, (torch.Tensor, "topk"): lowest_topk, (torch, "argmax"): argmax, (torch.Tensor, "argmax"): argmax,
        (torch, "rand"): lambda *shape, **_: next_of(shape), (torch, "rand_like"): lambda like, **_: next_of(like.shape),
        (torch, "randn_like"): lambda like, **_: next_of(like.shape), (torch.Tensor, "uniform_"): uniform,
    }
    if dtype == torch.float64:
        softmax = softmax_of(torch.nn.functional.softmax)
        as_type, ones_like = torch.Tensor.type, torch.ones_like
        changes[torch, "ones_like"] = lambda x, dtype=None, **more: ones_like(x, dtype=torch.float64 if dtype == torch.float32 else dtype, **more)
        changes[torch.Tensor, "softmax"] = softmax_of(torch.Tensor.softmax)
        changes |= {(torch.Tensor, "float"): torch.Tensor.double,
                    (torch.Tensor, "type"): lambda self, dtype: as_type(self, torch.float64 if dtype == torch.float32 else dtype), (torch.nn.functional, "softmax"): softmax}
    before = {place: getattr(*place) for place in changes}
    for (owner, name), change in changes.items():
        setattr(owner, name, change)
    torch.set_default_dtype(dtype)  # of the zeros that counts begin with
    try:
        yield next_of
    finally:
        torch.set_default_dtype(torch.float32)
        for (owner, name), value in before.items():
            setattr(owner, name, value)
    assert not queue, f"{len(queue)} draws were not used"


# --- one case ---

def combined(indices, weights, experts):
    """(T, E) of indices (T, K) and weights (T, K): the sum over the choices that were kept."""
    kept = indices >= 0
    zeros = torch.zeros(len(indices), experts, dtype=weights.dtype)
    return zeros.scatter_add(1, indices.clamp(min=0), torch.where(kept, weights, torch.zeros_like(weights)))


def coefficient(row, path):
    return row.gate[path.split(".")[-1]]


def run(row, made, dtype, training):
    """(y, Routed, losses, gradients): in training the last two, by the names that the file has them."""
    x, target, parameters, draws = made
    leaves = {path: torch.from_numpy(value).to(dtype).requires_grad_() for path, value in parameters.items()}
    given = torch.from_numpy(x).to(dtype).requires_grad_()
    of_gate = {path.removeprefix("moe.gate."): leaf for path, leaf in leaves.items() if path.startswith("moe.gate.")}
    routed = row.run(row, given, of_gate, draws, training)
    tokens = (given if routed.tokens is None else routed.tokens).reshape(-1, WIDTH)
    inputs = tokens[:, None] * (torch.ones(1, 1, 1, dtype=dtype) if routed.dispatch is None else routed.dispatch[..., None])  # (T, E or 1, D)
    every = torch.einsum("tei,eoi->teo", inputs.expand(-1, row.experts, -1), leaves["moe.experts.weight"]) + leaves["moe.experts.bias"]
    y = torch.einsum("te,teo->to", routed.combine, every).reshape(x.shape)
    if not training:
        return y.detach().numpy(), routed, {}, {}
    if "z_loss" in row.gate and not any(path.split(".")[-1] == "z_loss" for path in routed.aux):
        routed.aux["z_loss"] = routed.logits.logsumexp(dim=-1).square().mean()
    total = torch.nn.functional.mse_loss(y, torch.from_numpy(target).to(dtype))
    for path, value in routed.aux.items():
        total = total + coefficient(row, path) * value.reshape(()).to(dtype)  # f32 of one dimension would make all of it f32
    if routed.learns is not None:
        total = total + routed.learns - routed.learns.detach()
    total.backward()
    losses = {"loss": total} | {f"moe.gate.{path}": value for path, value in routed.aux.items()}
    gradients = {path: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for path, leaf in (leaves | {"x": given}).items()
                 if path.removeprefix("moe.gate.") not in row.fixed}
    return (y.detach().numpy(), routed, {name: value.detach().reshape(()).to(dtype).numpy() for name, value in losses.items()},
            {name: value.numpy() for name, value in gradients.items()})


def does_its_work(row, case, indices):
    """Whether nobody chose the starved expert, and everybody the one that all are to choose."""
    if indices is None or len(row.parameters) == 0 or not any(path == "weight" for path in row.parameters):
        return True
    if case.effect == "starved" and indices.shape[1] < row.experts:
        return 2 % row.experts not in indices
    if case.effect == "one-expert" and (indices[:, 0] >= 0).any():
        return set(indices[:, 0]) <= {1 % row.experts, -1}
    return True


def choices(routed):
    return [None if value is None else value.detach().numpy().astype(np.int32) for value in (routed.indices, routed.outer)]


def same(a, b):
    return all((x is None and y is None) or np.array_equal(x, y) for x, y in zip(a, b))


def by_token(value, shape):
    """Draws for tokens of batch rows, as moec has them: one after the other."""
    return value.reshape(-1, *value.shape[len(shape):]) if len(shape) > 1 and value.shape[:len(shape)] == shape else value


def is_told_by_f32(gradients):
    """Whether the original's gradients in f32 are close to its own in f64: not where large terms cancel."""
    half = 0.5e-5  # of what the suite allows
    most = max((np.abs(value).max() for value in gradients["f64"].values() if value.size), default=0)
    return all(np.abs(gradients["f32"][name] - value).max() <= half * max(np.abs(value).max(), 0.1 * most)
               for name, value in gradients["f64"].items() if value.size)


def attempt(row, case, made):
    """The case's tensors, or None where a decision is too close to call, f32 cannot tell a gradient, or a case does not do what it is for."""
    x, target, parameters, draws = made
    tensors = {"x": x, "target": target} | {f"weights/{path}": value for path, value in parameters.items()}
    tensors |= {"draws/ids" if path == "ids" else f"draws/moe.gate.{path}": value if path == "ids" else by_token(value, case.shape)
                for path, value in draws.items()}
    for mode in ("eval", "train"):
        if row.refuses(case.shape, mode):
            continue
        seen, of_types = [], {}
        for name, dtype in DTYPES.items():
            Margin.least = math.inf
            y, routed, losses, gradients = run(row, made, dtype, mode == "train")
            if not case.ties and Margin.least < MARGIN:
                return None
            seen.append(choices(routed))
            if not all(np.isfinite(value).all() for value in (y, *losses.values(), *gradients.values())):
                raise AssertionError(f"{row.name}, {case.name}: the original gives what is no number")
            tensors |= {f"{name}/y": y} if mode == "eval" else {}
            tensors |= {f"{name}/losses/{path}": value for path, value in losses.items()}
            tensors |= {f"{name}/gradients/{path}": value for path, value in gradients.items()}
            of_types[name] = gradients
        if case.effect != "huge" and not is_told_by_f32(of_types):
            return None
        if not same(*seen) or not does_its_work(row, case, seen[0][0]):
            return None
        for nudge in range(0 if case.effect in ("ties", "zero") else 3):  # a draw or a threshold may be as close as a score
            rng = np.random.default_rng(nudge)
            near = (x * (1 + MARGIN / 10 * rng.standard_normal(x.shape)).astype(np.float32), *made[1:])
            if not same(seen[0], choices(run(row, near, torch.float64, mode == "train")[1])):
                return None
        for name, value in zip(("indices", "outer"), seen[0]):
            tensors |= {} if value is None else {f"{mode}/{name}": value}
    return tensors


def made_case(row, case):
    """(tensors, seed) of the lowest seed that does."""
    for seed in range(400):
        tensors = attempt(row, case, numbers(row, case, np.random.default_rng(seed)))
        if tensors is not None:
            return tensors, seed
    raise AssertionError(f"{row.name}, {case.name}: no seed below 400 fits")


def made_row(row, versions):
    """(tensors, metadata, entry of the manifest) of a file."""
    tensors, about = {}, {}
    for case in row.cases:
        made, seed = made_case(row, case)
        tensors |= {f"{case.name}/{name}": value for name, value in made.items()}
        refused = [mode for mode in ("train", "eval") if row.refuses(case.shape, mode)]
        about[case.name] = {"seed": seed} | ({"refused": refused} if refused else {})
    metadata = {"generator": "tests/goldens/routing/make_routing.py", "origin": row.origin, "packages": json.dumps(versions),
                "gate": json.dumps(row.gate), "experts": str(row.experts), "rank": str(len(row.cases[0].shape) + 1), "width": str(WIDTH),
                "cases": json.dumps(about)}
    entry = {"kind": row.gate["kind"], "name": row.name, "origin": row.origin, "version": versions[row.origin], "file": row.name + ".safetensors",
             "experts": row.experts, "parameters": {key: value for key, value in row.gate.items() if key != "kind"}, "cases": list(about)}
    if row.inexact:
        metadata["inexact"] = json.dumps(row.inexact)
        entry["inexact_f64"] = row.inexact
    if row.note:
        entry["note"] = row.note
    return tensors, metadata, entry
