"""The goldens of optimizers: five steps of torch.optim and lion-pytorch on given gradients, and the same steps again in NumPy and float64."""
from functools import partial

import lion_pytorch
import numpy as np
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

import golden_file
import made_numbers
from golden_case import assert_close, metadata, with_prefix

SHAPES = {"embedding.weight": (5, 3), "layer_norm.weight": (3,), "layer_norm.bias": (3,), "linear.weight": (4, 3), "linear.bias": (4,)}
MODEL = {"name": "rule", "inputs": {"ids": {"shape": ["batch"], "dtype": "i64"}, "labels": {"shape": ["batch"], "dtype": "i64", "for": "loss"}},
         "model": [{"kind": "embedding", "vocabulary": 5, "dim": 3}, {"kind": "layer_norm"}, {"kind": "linear", "name": "linear", "out": 4}],
         "loss": {"kind": "cross_entropy", "scores": "linear", "labels": "labels"}}  # which has these parameters; its loss is not run
# With matrices of several experts in one parameter, for rules that look at rows and columns.
EXPERT_SHAPES = {"embedding.weight": (5, 3), "moe.gate.weight": (2, 3), "moe.gate.bias": (2,), "moe.experts.weight": (2, 4, 3), "moe.experts.bias": (2, 4),
                 "layer_norm.weight": (4,), "layer_norm.bias": (4,)}
EXPERT_MODEL = MODEL | {"model": [{"kind": "embedding", "vocabulary": 5, "dim": 3},
                                  {"kind": "moe", "gate": {"kind": "dense"}, "experts": {"kind": "linear", "out": 4, "count": 2}},
                                  {"kind": "layer_norm", "name": "layer_norm"}],
                        "loss": {"kind": "cross_entropy", "scores": "layer_norm", "labels": "labels"}}
RATES = (0.05, 0.05, 0.02, 0.1, 0.01)
SCALES = (1.0, 0.1, 3.0, 0.02, 1.0)  # of the gradients of each step: a norm of 1 clips some steps and leaves others
NO_DECAY, CLIP_NORM = ["bias", "layer_norm.*"], 1.0
RULES = {
    "sgd": {"kind": "sgd"},
    "sgd-decay": {"kind": "sgd", "weight_decay": 0.1},
    "sgd-momentum": {"kind": "sgd", "momentum": 0.9, "weight_decay": 0.1},
    "sgd-dampening": {"kind": "sgd", "momentum": 0.9, "dampening": 0.3},
    "sgd-nesterov": {"kind": "sgd", "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    "adam": {"kind": "adam", "betas": [0.8, 0.95]},
    "adam-decay": {"kind": "adam", "weight_decay": 0.1},
    "adamw": {"kind": "adamw", "betas": [0.4, 0.99], "eps": 1e-6, "weight_decay": 0.2},
    "adamw-ema": {"kind": "adamw", "weight_decay": 0.1, "ema": 0.75},
    "sgd-ema": {"kind": "sgd", "momentum": 0.9, "ema": 0.4},
    "adafactor": {"kind": "adafactor"},
    "adafactor-decay": {"kind": "adafactor", "beta2_decay": -0.5, "eps1": 1e-3, "eps2": 0.5, "d": 1.25, "weight_decay": 0.2},
    "lion": {"kind": "lion"},
    "lion-decay": {"kind": "lion", "betas": [0.8, 0.6], "weight_decay": 0.2},
}
CLASSES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adafactor": torch.optim.Adafactor, "lion": lion_pytorch.Lion}
STATES = {"momentum": "momentum_buffer"} | {name: name for name in ("exp_avg", "exp_avg_sq", "row_var", "col_var", "variance")}  # moec's name: PyTorch's


def decays(rule, name):
    """Whether a parameter is in the group that decays."""
    return not (rule.get("no_decay") and (name.endswith("bias") or name.startswith("layer_norm.")))


def groups(rule, parameters):
    kept = [parameter for name, parameter in parameters.items() if not decays(rule, name)]
    return [{"params": [parameter for name, parameter in parameters.items() if decays(rule, name)]}] + \
        ([{"params": kept, "weight_decay": 0.0}] if kept else [])


def run(rule, weights, gradients):
    """{name: array over the steps}: parameters and states behind each step, and the norm of the gradients before clipping."""
    parameters = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in weights.items()}
    averages = {name: parameter.detach().clone() for name, parameter in parameters.items()} if "ema" in rule else {}
    words = {key: value for key, value in rule.items() if key not in ("kind", "no_decay", "clip_norm", "ema", "eps1", "eps2")}
    if rule["kind"] == "adafactor":
        words["eps"] = (rule.get("eps1"), rule.get("eps2", 1e-3))
    optimizer = CLASSES[rule["kind"]](groups(rule, parameters), lr=RATES[0], **words)
    steps = []
    for step, rate in enumerate(RATES):
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(gradients[name][step].copy())
        for group in optimizer.param_groups:
            group["lr"] = rate
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), rule.get("clip_norm", np.inf))
        optimizer.step()
        step = {"gradient_norm": norm.numpy()} | {f"parameters/{name}": parameter.detach().numpy().copy() for name, parameter in parameters.items()}
        for name, parameter in parameters.items():
            step |= {f"states/{name}.{ours}": optimizer.state[parameter][theirs].numpy().copy()
                     for ours, theirs in STATES.items() if optimizer.state[parameter].get(theirs) is not None}
        if averages:
            get_ema_multi_avg_fn(rule["ema"])(list(averages.values()), [parameter.detach() for parameter in parameters.values()], None)
            step |= {f"states/{name}.average": average.numpy().copy() for name, average in averages.items()}
        steps.append(step)
    return {name: np.stack([step[name] for step in steps]) for name in steps[0]}


# --- the same in NumPy ---

def sgd(rule, parameter, gradient, decay, rate, states, step):
    gradient = gradient + decay * parameter
    momentum = rule.get("momentum", 0.0)
    if momentum:
        states["momentum"] = gradient if step == 1 else momentum * states["momentum"] + (1 - rule.get("dampening", 0.0)) * gradient
        gradient = gradient + momentum * states["momentum"] if rule.get("nesterov") else states["momentum"]
    return parameter - rate * gradient


def adam(rule, parameter, gradient, decay, rate, states, step):
    if rule["kind"] == "adamw":
        parameter = parameter - rate * decay * parameter
    else:
        gradient = gradient + decay * parameter
    (first, second), eps = rule.get("betas", (0.9, 0.999)), rule.get("eps", 1e-8)
    states["exp_avg"] = first * states.get("exp_avg", 0.0) + (1 - first) * gradient
    states["exp_avg_sq"] = second * states.get("exp_avg_sq", 0.0) + (1 - second) * gradient ** 2
    mean, square = states["exp_avg"] / (1 - first ** step), states["exp_avg_sq"] / (1 - second ** step)
    return parameter - rate * mean / (np.sqrt(square) + eps)


def adafactor(rule, parameter, gradient, decay, rate, states, step, dtype):
    first, second = rule.get("eps1", np.finfo(made_numbers.NUMPY[dtype]).eps), rule.get("eps2", 1e-3)
    size = max(second, np.sqrt((parameter ** 2).mean())) * min(rate, step ** -0.5)
    enters = step ** rule.get("beta2_decay", -0.8)

    def forget(name, now):
        before = states.get(name, np.zeros_like(now))
        states[name] = (1 - enters) * before + enters * now
        return states[name]

    squares = gradient ** 2
    if gradient.ndim > 1:
        rows, columns = forget("row_var", squares.mean(-1, keepdims=True)), forget("col_var", squares.mean(-2, keepdims=True))
        squares = rows * columns / np.maximum(rows.mean(-2, keepdims=True), first)
    else:
        squares = forget("variance", squares)
    change = gradient / np.sqrt(np.maximum(squares, first ** 2))
    return (1 - rate * decay) * parameter - size * change / max(1.0, np.sqrt((change ** 2).mean()) / rule.get("d", 1.0))


def lion(rule, parameter, gradient, decay, rate, states, step):
    (first, second), before = rule.get("betas", (0.9, 0.99)), states.get("exp_avg", 0.0)
    states["exp_avg"] = second * before + (1 - second) * gradient
    return (1 - rate * decay) * parameter - rate * np.sign(first * before + (1 - first) * gradient)


def recompute(rule, weights, gradients, dtype):
    given = {name: value.astype(np.float64) for name, value in weights.items()}
    weights, states, steps = {name: value.astype(np.float64) for name, value in weights.items()}, {name: {} for name in weights}, []
    for step, rate in enumerate(RATES):
        each = {name: gradients[name][step].astype(np.float64) for name in weights}
        norm = np.sqrt(sum((value ** 2).sum() for value in each.values()))
        factor = min(1.0, rule.get("clip_norm", np.inf) / (norm + 1e-6))
        found = {"gradient_norm": norm}
        for name in weights:
            decay = rule.get("weight_decay", 0.0) if decays(rule, name) else 0.0
            update = {"sgd": sgd, "lion": lion, "adafactor": partial(adafactor, dtype=dtype)}.get(rule["kind"], adam)
            weights[name] = update(rule, weights[name], factor * each[name], decay, rate, states[name], step + 1)
            if "ema" in rule:
                states[name]["average"] = rule["ema"] * states[name].get("average", given[name]) + (1 - rule["ema"]) * weights[name]
            found |= {f"parameters/{name}": weights[name]} | {f"states/{name}.{state}": value for state, value in states[name].items()}
        steps.append(found)
    return {name: np.stack([step[name] for step in steps]) for name in steps[0]}


def case(rule, dtype):
    rng = np.random.default_rng(17)
    shapes, model = (EXPERT_SHAPES, EXPERT_MODEL) if rule["kind"] == "adafactor" else (SHAPES, MODEL)
    weights = {name: made_numbers.parameter(rng, name, shape, dtype) for name, shape in shapes.items()}
    gradients = {name: np.stack([scale * rng.standard_normal(shape) for scale in SCALES]).astype(made_numbers.NUMPY[dtype])
                 for name, shape in shapes.items()}
    gradients["embedding.weight"][:, 2] = 0.0  # a row that no token has
    tensors = with_prefix("weights", weights) | with_prefix("gradients", gradients) | {"learning_rate": np.array(RATES)}
    tensors |= run(rule, weights, gradients)
    about = metadata("five steps on given gradients", [], optimizer=rule, text=model | {"dtype": dtype, "optimizer": rule}, seed=17)
    return tensors, about, lambda stored: check(stored, rule, dtype)


def check(stored, rule, dtype):
    expected = recompute(rule, golden_file.group(stored, "weights"), golden_file.group(stored, "gradients"), dtype)
    assert expected["gradient_norm"].min() < CLIP_NORM < expected["gradient_norm"].max()
    errors = [assert_close(name, stored[name], value, dtype) for name, value in expected.items()]
    return f"{len(errors)} tensors, largest relative error {max(errors):.1e}"


def cases():
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for name, rule in RULES.items():
        more = {"clip_norm": CLIP_NORM} | ({"no_decay": NO_DECAY} if rule.get("weight_decay") else {})
        for dtype in ("f32", "f64"):
            yield f"optimizer.{name}.{dtype}", lambda rule=rule, dtype=dtype: case(rule, dtype)
            yield f"optimizer.{name}-clipped.{dtype}", lambda rule=rule | more, dtype=dtype: case(rule, dtype)
