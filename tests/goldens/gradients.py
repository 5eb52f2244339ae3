"""What the goldens of gradients share: a loss and its gradients from PyTorch, and the check of both by NumPy's loss alone, in float64.

A file of gradients is made in training: capacities, policies and losses are those of training; every dropout and jitter is 0,
or by given draws.
"""
import numpy as np
import torch

import golden_file
import numpy_check
from golden_case import MARGIN, first_seed_with, metadata, with_prefix, zoo_model

STEP = 4e-7  # of the central differences, along a direction of normal numbers
NEAR = {"f32": 1e-4, "f64": 1e-6}  # of a gradient's length: how far the slope along a direction may be from the central difference
KINK = 1e-5  # no input of a ReLU is closer to 0 than this part of the largest, so that fp32 and float64 agree on all of them
LOSS_NEAR = {"f32": 1e-5, "f64": 1e-11}


def with_noise(value, noise):
    """A part of a model's file with every dropout and jitter set to what `noise` has for "dropout" and "jitter", else to 0."""
    if isinstance(value, list):
        return [with_noise(inner, noise) for inner in value]
    if not isinstance(value, dict):
        return value
    of_key = {"dropout": "dropout", "jitter": "jitter"} | ({"p": "dropout"} if value.get("kind") == "dropout" else {})
    return {key: noise.get(of_key[key], 0) if key in of_key else with_noise(inner, noise) for key, inner in value.items()}


def noisy(name, overrides, noise):
    """The overrides, and with them with_noise of the whole model."""
    model = zoo_model(name, overrides)
    return patch_between(zoo_model(name, {}), with_noise(model, noise))


def patch_between(old, new):
    """The merge patch that makes `new` of `old`. It says nothing of keys that stay: a null among them would remove them."""
    patch = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key in old and isinstance(value, dict) and isinstance(old[key], dict):
            inner = patch_between(old[key], value)
            patch |= {key: inner} if inner else {}
        elif key not in old or old[key] != value:
            patch[key] = value
    return patch


def leaves(arrays):
    """{name: tensor}; those of floats gather gradients."""
    return {name: torch.from_numpy(value.copy()).requires_grad_(value.dtype.kind == "f") for name, value in arrays.items()}


def differentiated(task, aux):
    """{name: loss} of a task's loss and the aux losses {path: (coefficient, loss)}: the `loss`, which is the sum of all with coefficients and
    through which backward() has run, and each aux loss without its coefficient."""
    total = total_of(task, aux)
    total.backward()
    losses = {"loss": total} | {path: value for path, (_, value) in aux.items()}
    return {name: value.detach().reshape(()).to(total.dtype).numpy() for name, value in losses.items()}


def total_of(task, aux):
    return task + sum(coefficient * value for coefficient, value in aux.values())


def gathered(given):
    """Gradients of leaves that took part in the loss."""
    return {name: leaf.grad.numpy() for name, leaf in given.items() if leaf.grad is not None}


def golden(name, overrides, dtype, sizes, packages, description, numbers, run, recompute):
    """(tensors, metadata, check). `numbers(rng)` gives (weights, inputs, draws), `run` of these (losses, gradients of weights, of inputs) from
    PyTorch, `recompute` of them in float64 (loss of the task, {path: (coefficient, aux loss)}, margin) from NumPy."""
    def accept(rng):
        made = numbers(rng)
        return made if clear(recompute, *wide(*made)) else None

    seed, (weights, inputs, draws) = first_seed_with(accept)
    losses, gradients, of_inputs = run(weights, inputs, draws)
    assert set(gradients) == set(weights), set(gradients) ^ set(weights)
    tensors = with_prefix("weights", weights) | with_prefix("inputs", inputs) | with_prefix("draws", draws)
    tensors |= with_prefix("losses", losses) | with_prefix("gradients", gradients) | with_prefix("input_gradients", of_inputs)
    about = metadata(description, packages, gradients_of=name, overrides=overrides, mode="train", seed=seed, sizes=sizes)
    return tensors, about, lambda stored: check(stored, dtype, recompute)


def clear(recompute, weights, inputs, draws):
    """Whether no routing decision and no ReLU is close to falling the other way."""
    numpy_check.nearest_kink[0] = np.inf
    margin = recompute(weights, inputs, draws)[2]
    return margin >= MARGIN and numpy_check.nearest_kink[0] >= KINK


def wide(*groups):
    return [{name: value.astype(np.float64) if value.dtype.kind == "f" else value for name, value in group.items()} for group in groups]


def check(stored, dtype, recompute):
    weights, inputs, draws = wide(*(golden_file.group(stored, part) for part in ("weights", "inputs", "draws")))

    def total():
        return total_of(*recompute(weights, inputs, draws)[:2])

    assert clear(recompute, weights, inputs, draws)
    _, aux, _ = recompute(weights, inputs, draws)
    losses = golden_file.group(stored, "losses")
    assert set(losses) == {"loss", *aux}, (set(losses), set(aux))
    for name, value in ({"loss": total()} | {path: value for path, (_, value) in aux.items()}).items():
        assert abs(losses[name] - value) <= LOSS_NEAR[dtype] * abs(value), (name, losses[name], value)
    worst, rng = 0.0, np.random.default_rng(1)
    for values, prefix in ((weights, "gradients"), (inputs, "input_gradients")):
        for name, gradient in golden_file.group(stored, prefix).items():
            worst = max(worst, compare(total, values, name, gradient.astype(np.float64), rng.standard_normal(gradient.shape), dtype))
    return f"loss {losses['loss']:.6f}, {len(losses) - 1} aux losses, farthest slope {worst:.1e}"


def compare(total, values, name, gradient, direction, dtype):
    """How far the gradient's slope along the direction is from the central difference, as a part of the gradient's length."""
    before = values[name]
    values[name] = before + STEP * direction
    above = total()
    values[name] = before - STEP * direction
    slope, values[name] = (above - total()) / (2 * STEP), before
    length = np.linalg.norm(gradient)
    if length == 0.0:  # an expert or a row of a table without a token
        assert abs(slope) <= 1e-9, (name, slope)
        return 0.0
    apart = abs(slope - (gradient * direction).sum()) / length
    assert apart <= NEAR[dtype] + 1e-9 / length, f"{name}: the slope is {slope}, the gradient's {(gradient * direction).sum()}"
    return apart
