"""The goldens of losses over several layers that are no model's of the zoo: Mixtral's balance loss of all layers at once, with an attention mask."""
import numpy as np
import torch

import expert_goldens
import expert_models
import gradients
import made_numbers
from numpy_check import softmax

COEFFICIENT, WIDTH, CHOICES, BATCH, TOKENS = 0.4, expert_goldens.WIDTH, expert_goldens.CHOICES, 3, 5
LAYERS = ("first", "second")
CASES = {"mixtral": (False, "Mixtral's balance loss of two layers"), "mixtral-mask": (True, "the same with an attention mask")}


def layer_of(masked):
    layer = expert_goldens.MIXTURES["mixtral"]
    gate = layer["gate"] | {"balance_loss": COEFFICIENT, "loss_pool": "router"} | ({"loss_mask": "mask"} if masked else {})
    return layer | {"gate": gate}


def alone(arrays, name):
    """One layer's weights, as expert_goldens and expert_models call them."""
    return {"y" + key.removeprefix(name): value for key, value in arrays.items() if key.startswith(name + ".")}


def balance(logits, mask):
    """Of all layers' logits (layers, T, E), and a number for each token."""
    count = logits.shape[-1]
    chosen = np.eye(count)[np.argsort(-logits, axis=-1, kind="stable")[..., :CHOICES]].sum(axis=-2)
    shares, means = ((value * mask[:, None]).sum(axis=(0, 1)) / (mask.sum() * len(logits)) for value in (chosen, softmax(logits)))
    return count * (shares * means).sum()


def case_of(case):
    masked, description = CASES[case]
    shape = {"shape": ["batch", "tokens", WIDTH]}
    inputs = {"x": shape, "target": shape} | ({"mask": {"shape": ["batch", "tokens"]}} if masked else {})
    model = [layer_of(masked) | {"name": name} for name in LAYERS[:-1]] + [layer_of(masked) | {"name": LAYERS[-1]}, {"kind": "scale", "name": "y", "by": 1}]
    overrides = {"inputs": inputs, "let": None, "blocks": None, "check": None, "model": model}

    def numbers(rng):
        shapes = {name + key.removeprefix("y"): shape for name in LAYERS for key, shape in expert_goldens.shapes_of(layer_of(False)).items()}
        weights = {name: made_numbers.parameter(rng, name, shape, "f32") for name, shape in shapes.items()}
        for name in weights:  # layers without norms between them: logits that leave every probability above 0
            weights[name] = weights[name] * np.float32(0.6 if ".experts." in name else 1.0)
        given = {name: rng.standard_normal((BATCH, TOKENS, WIDTH)).astype(np.float32) for name in ("x", "target")}
        if masked:
            given["mask"] = np.ones((BATCH, TOKENS), np.float32)
            given["mask"][0, 4:], given["mask"][1, 3:] = 0, 0
        return weights, given, {}

    def recompute(weights, given, draws):
        y, logits, margin = given["x"], [], np.inf
        for name in LAYERS:
            mine = alone(weights, name)
            logits.append(y.reshape(-1, WIDTH) @ mine["y.gate.weight"].T)
            y, gap = expert_goldens.layer_again(mine, layer_of(False), y)
            margin = min(margin, gap)
        loss = balance(np.stack(logits), given["mask"].reshape(-1) if masked else np.ones(BATCH * TOKENS))
        return ((y - given["target"]) ** 2).mean(), {"router.balance_loss": (COEFFICIENT, loss)}, margin

    def run(weights, given, draws):
        from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func
        parameters, inputs = gradients.leaves(weights), gradients.leaves({name: value for name, value in given.items() if name != "mask"})
        y, logits = inputs["x"], []
        for name in LAYERS:
            y, of_layer = expert_models.mixtral(alone(parameters, name), y, CHOICES)
            logits.append(of_layer)
        mask = torch.from_numpy(given["mask"]) if masked else None
        loss = load_balancing_loss_func(tuple(logits), logits[0].shape[-1], CHOICES, mask)
        losses = gradients.differentiated(torch.nn.functional.mse_loss(y, inputs["target"]), {"router.balance_loss": (COEFFICIENT, loss)})
        return losses, gradients.gathered(parameters), gradients.gathered(inputs)

    return gradients.golden("soft-moe", overrides, "f32", {"batch": BATCH, "tokens": TOKENS}, ["transformers"], description, numbers, run, recompute)


def cases():
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for case in CASES:
        yield f"joint-losses.gradients.{case}", lambda case=case: case_of(case)
