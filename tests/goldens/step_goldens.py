"""The goldens of training: the first steps of SGD from given weights, a fresh batch for each, in PyTorch."""
import numpy as np
import torch

import golden_file
import gradient_goldens
import gradients
import language_goldens
from golden_case import first_seed_with, metadata, with_prefix

STEPS = 20
MARGIN = 1e-4  # of every routing decision in every step: far over what f32 has drifted from f64 by then
RULE = {"kind": "sgd", "momentum": 0.9}
RATES = {"vit-moe": 0.01, "switch-lm": 0.2}
DRIFT = {"f32": 1e-4, "f64": 1e-11}  # of a loss, from NumPy's of the same weights in float64


def train(model, weights, batches):
    """(losses {name: (STEPS)}, norms of the gradients (STEPS), [weights before each step, and behind the last])."""
    (module, placement), losses, norms, seen = model.build(weights), [], [], [weights]
    optimizer = torch.optim.SGD(module.parameters(), lr=RATES[model.name], momentum=RULE["momentum"])
    for step in range(STEPS):
        optimizer.zero_grad()
        batch = {name: torch.from_numpy(value[step]) for name, value in batches.items()}
        losses.append(gradients.differentiated(*model.losses(module, batch, {})))
        norms.append(torch.nn.utils.get_total_norm([parameter.grad for parameter in module.parameters()]).numpy())
        optimizer.step()
        seen.append(placement.values())
    return {name: np.stack([each[name] for each in losses]) for name in losses[0]}, np.stack(norms), seen


def case(model, description):
    def accept(rng):
        weights, *_ = model.numbers(rng)
        each = [model.inputs(rng) for _ in range(STEPS)]
        batches = {name: np.stack([batch[name] for batch in each]) for name in each[0]}
        result = train(model, weights, batches)
        clear = all(losses_of(model, before, batches, step)[2] >= MARGIN for step, before in enumerate(result[2][:-1]))
        return (weights, batches, *result) if clear else None

    seed, (weights, batches, losses, norms, seen) = first_seed_with(accept)
    assert losses["loss"][-3:].mean() < losses["loss"][:3].mean()
    tensors = with_prefix("weights", weights) | with_prefix("inputs", batches) | with_prefix("losses", losses)
    tensors |= with_prefix("trained", seen[-1]) | {"gradient_norm": norms}
    about = metadata(description, model.packages, steps_of=model.name, overrides=model.overrides | {"optimizer": RULE}, mode="train", seed=seed,
                     sizes=model.sizes, learning_rate=RATES[model.name])
    return tensors, about, lambda stored: check(stored, model, seen)


def losses_of(model, weights, batches, step):
    return model.recompute(*gradients.wide(weights, {name: value[step] for name, value in batches.items()}, {}))


def check(stored, model, seen):
    """Each step's losses again in float64, of the weights before it, which the file does not hold."""
    batches, losses, worst = golden_file.group(stored, "inputs"), golden_file.group(stored, "losses"), 0.0
    for step in range(STEPS):
        task, aux, margin = losses_of(model, seen[step], batches, step)
        for name, value in ({"loss": gradients.total_of(task, aux)} | {path: value for path, (_, value) in aux.items()}).items():
            worst = max(worst, abs(losses[name][step] - value) / abs(value))
        assert margin >= MARGIN and worst <= DRIFT[model.dtype], (step, margin, worst)
    for name, value in seen[-1].items():
        assert np.array_equal(stored[f"trained/{name}"], value), name
    return f"loss {losses['loss'][0]:.4f} to {losses['loss'][-1]:.4f}, largest relative error {worst:.1e}"


def cases(fmoe):
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for dtype in ("f32", "f64"):
        gate = {"gate": {"balance_loss": gradient_goldens.BALANCE, "random_routing": False}}
        yield f"vit-moe.steps.{dtype}", lambda dtype=dtype, gate=gate: case(
            gradient_goldens.Vit(fmoe, "vit-moe", dtype, gate, batch=2), "20 steps of SGD: FastMoE's GShard gate without random routing, with its loss")
        yield f"switch-lm.steps.{dtype}", lambda dtype=dtype: case(
            gradient_goldens.Language("switch-lm", dtype, language_goldens.SMALL), "20 steps of SGD: the paper's Switch with its loss")
