"""Makes the golden files of this folder: python make_goldens.py --fastmoe DIR --soft-moe DIR [--out DIR] [--only PREFIX]. See README.md.

The models come from models/zoo with the overrides of a case. Each file's outputs are the originals' (originals.py,
language_models.py, blending_models.py, lucidrains_package.py, transformer_models.py) and are then recomputed from the stored
file alone (numpy_check.py, and language_goldens.py, blending_goldens.py, lucidrains_goldens.py and transformer_goldens.py with
it); a difference is an error. Gradients, steps of optimizers and of training are gradient_goldens.py's, optimizer_goldens.py's
and step_goldens.py's.
"""
import argparse
from pathlib import Path

import numpy as np
import torch

import blending_goldens
import expert_goldens
import fastmoe_on_cpu
import golden_file
import gradient_goldens
import joint_loss_goldens
import language_goldens
import lucidrains_goldens
import made_numbers
import numpy_check
import optimizer_goldens
import originals
import soft_moe_goldens
import soft_moe_models
import step_goldens
import transformer_goldens
from golden_case import MARGIN, assert_close, drops, first_seed_with, merge_patch, metadata, vit_feed_forward, vit_size, with_prefix, zoo_model

HERE = Path(__file__).resolve().parent
PARAMETERS = {"vit": 41546, "vit-moe": 54482}

TIGHT = {"blocks": {"feed_forward": {"gate": {"capacity": {"eval": 0.8}}}}}
TOP_K = {"blocks": {"feed_forward": {"gate": {"kind": "top_k", "capacity": None, "random_routing": None}}}}
VIT_CASES = [  # model, case, overrides, description
    ("vit", "f32", {}, "dense ViT"),
    ("vit", "f64", {"dtype": "f64"}, "dense ViT run in double"),
    ("vit-moe", "f32", {}, "FastMoE's GShard gate in evaluation, capacity 2.4 (never full), random routing"),
    ("vit-moe", "tight", TIGHT, "as f32 with a capacity that drops rows"),
    ("vit-moe", "top_k", TOP_K, "FastMoE's NaiveGate in place of the GShard gate"),
]
GSHARD_CASES = [  # case, tokens, experts, mode, random routing, capacity, skew, step of the logits
    ("t16-e4.train", 16, 4, "train", True, (1.2, 2.4), 2.0, None),
    ("t16-e4.eval", 16, 4, "eval", True, (1.2, 2.4), 2.0, None),
    ("t16-e4.eval-tight", 16, 4, "eval", True, (1.2, 0.7), 1.0, None),
    ("t37-e8.train", 37, 8, "train", True, (1.2, 2.4), 2.5, None),
    ("t37-e8.eval", 37, 8, "eval", True, (1.2, 2.4), 3.5, None),
    ("t37-e8.train-no-random", 37, 8, "train", False, (1.2, 2.4), 2.5, None),
    ("t37-e8.ties", 37, 8, "train", True, (1.2, 2.4), 1.0, 1.0),
    ("t4-e64.no-capacity", 4, 64, "train", False, (1.2, 2.4), 0.0, None),
]
TOP_K_CASES = [  # case, tokens, experts, choices, step of the logits
    ("t16-e4-k1", 16, 4, 1, None),
    ("t16-e4-k2", 16, 4, 2, None),
    ("t37-e8-k3", 37, 8, 3, None),
    ("t37-e8-k3.ties", 37, 8, 3, 1.0),
]
SWITCH_CASES = [  # case, tokens, experts, capacity rate in evaluation, step of the logits
    ("t16-e4", 16, 4, 1.1, None),
    ("t37-e8", 37, 8, 2.4, None),
    ("t37-e8.ties", 37, 8, 0.9, 1.0),
]


# --- ViT ---

def vit_case(fmoe, name, case, overrides, description):
    model = zoo_model(name, overrides)
    size, feed_forward, dtype = vit_size(model), vit_feed_forward(model), model.get("dtype", "f32")
    batch = model["check"]["batch"]

    def accept(rng):
        numbers = made_numbers.vit_numbers(rng, size, feed_forward, batch, dtype)
        routing = recompute_vit(*numbers, size, feed_forward)[1].values()
        clear = all(margin >= MARGIN for _, _, _, margin, _ in routing)
        return numbers if clear and (case != "tight" or all(dropped for *_, dropped in routing)) else None

    seed, (weights, image, draws) = first_seed_with(accept)
    scores, routing, parameters = originals.run_vit(fmoe, size, feed_forward, weights, image, draws.values(), dtype)
    assert parameters == PARAMETERS[name] == sum(value.size for value in weights.values()), parameters
    tensors = with_prefix("weights", weights) | with_prefix("inputs", {"image": image}) | with_prefix("draws", draws)
    tensors["outputs/scores"] = scores
    for i, (indices, gate_weights, loss) in enumerate(routing):
        tensors |= with_prefix(f"routing/layers.{i}.moe", {"indices": indices.astype(np.int32), "weights": gate_weights})
        if feed_forward["gate"]["kind"] == "gshard":
            tensors[f"routing/layers.{i}.moe/loss"] = loss
    packages = ["fastmoe"] if routing else []
    about = metadata(description, packages, model=name, overrides=overrides, mode="eval", seed=seed, sizes={"batch": batch})
    return tensors, about, lambda stored: check_vit(stored, size, feed_forward, dtype)


def recompute_vit(weights, image, draws, size, feed_forward):
    wide = {name: value.astype(np.float64) for name, value in weights.items()}
    return numpy_check.vit(wide, image.astype(np.float64), draws, size, feed_forward)


def check_vit(stored, size, feed_forward, dtype):
    weights, draws = golden_file.group(stored, "weights"), golden_file.group(stored, "draws")
    scores, routing = recompute_vit(weights, stored["inputs/image"], draws, size, feed_forward)
    lines = [f"scores {assert_close('scores', stored['outputs/scores'], scores, dtype):.1e}"]
    for path, (indices, gate_weights, loss, margin, dropped) in routing.items():
        assert margin >= MARGIN and np.array_equal(stored[f"routing/{path}/indices"], indices), path
        assert_close(path, stored[f"routing/{path}/weights"], gate_weights, dtype)
        if f"routing/{path}/loss" in stored:
            assert_close(path + " loss", stored[f"routing/{path}/loss"], np.float64(loss), "f32")
        lines.append(f"{path}: {drops(indices, dropped)}")
    return ", ".join(lines)


# --- batched experts ---

def experts_size(model):
    experts = model["model"][0]["experts"]
    return {"in": model["inputs"]["x"]["shape"][1], "count": experts["count"], "widths": experts["widths"]}


def narrower(model, widths):
    """Overrides that give the experts other widths; a merge patch replaces a list as a whole."""
    first = merge_patch(model["model"][0], {"experts": {"widths": widths}})
    return {"model": [first, *model["model"][1:]]}


def experts_case(dtype, full):
    name, seed = "batched-experts", 7
    overrides = {} if full else narrower(zoo_model(name, {}), [28, 24, 28, 20])
    overrides |= {"dtype": dtype} if dtype != "f64" else {}
    size, rng = experts_size(zoo_model(name, overrides)), np.random.default_rng(seed)
    weights = made_numbers.philox_experts(size, seed, dtype) if full else made_numbers.orthogonal_experts(rng, size, dtype)
    inputs = made_numbers.expert_inputs(rng, size, 32, dtype)
    outputs, gradients, loss = originals.run_batched_experts(weights, inputs)
    tensors = with_prefix("inputs", inputs) | with_prefix("outputs", outputs) | {"losses/loss": loss}
    if full:
        tensors |= with_prefix("weights_head", {key: value.flatten()[:4] for key, value in weights.items()})
    else:
        tensors |= with_prefix("weights", weights) | with_prefix("gradients", gradients)
    description = "every expert run by itself" + (", full width" if full else ", narrower: orthogonal weights, biases not 0")
    rule = {"weights_rule": made_numbers.PHILOX_RULE, "weights_seed": seed} if full else {}
    about = metadata(description, [], model=name, overrides=overrides, seed=seed, sizes={"batch": 32}, **rule)
    return tensors, about, lambda stored: check_experts(stored, size, dtype, seed)


def check_experts(stored, size, dtype, seed):
    weights = golden_file.group(stored, "weights") or made_numbers.philox_experts(size, seed, dtype)
    for name, head in golden_file.group(stored, "weights_head").items():
        assert np.array_equal(head, weights[name].flatten()[:4]), name
    wide = {name: value.astype(np.float64) for name, value in weights.items()}
    inputs = {name: value.astype(np.float64) for name, value in golden_file.group(stored, "inputs").items()}
    outputs, gradients, loss = numpy_check.batched_experts(wide, inputs)
    errors = [assert_close("loss", stored["losses/loss"], loss, dtype)]
    for prefix, expected in (("outputs", outputs), ("gradients", gradients)):
        for name, value in golden_file.group(stored, prefix).items():
            errors.append(assert_close(name, value, expected[name], dtype))
    return f"largest relative error {max(errors):.1e}"


# --- gates alone ---

def gate_case(fmoe, gate, mode, tokens, experts, skew, step, must_drop):
    def accept(rng):
        logits = made_numbers.gate_logits(rng, tokens, experts, skew, step)
        draws = {"random_routing": made_numbers.uniform(rng, tokens)} if gate.get("random_routing") else {}
        *_, margin, dropped = numpy_check.gate_of(gate, logits.astype(np.float64), draws.get("random_routing"), mode)
        return (logits, draws) if (step or margin >= MARGIN) and (dropped or not must_drop) else None

    seed, (logits, draws) = first_seed_with(accept)
    indices, weights, loss = originals.run_gate(fmoe, gate, logits, draws.values(), mode == "train")
    tensors = with_prefix("inputs", {"logits": logits}) | with_prefix("draws", draws)
    tensors |= with_prefix("outputs", {"indices": indices.astype(np.int32), "weights": weights})
    about = {"gate": gate, "mode": mode, "seed": seed}
    if gate["kind"] != "top_k":
        tensors["outputs/loss"] = loss
        about["capacity"] = numpy_check.capacity_of(gate, tokens, experts, mode)
    description = "a gate alone" + (", with equal logits" if step else "")
    return tensors, metadata(description, ["fastmoe"], **about), lambda stored: check_gate(stored, gate, mode)


def check_gate(stored, gate, mode):
    logits, draws = stored["inputs/logits"].astype(np.float64), stored.get("draws/random_routing")
    indices, weights, loss, _, dropped = numpy_check.gate_of(gate, logits, draws, mode)
    assert np.array_equal(stored["outputs/indices"], indices)
    assert_close("weights", stored["outputs/weights"], weights, "f32")
    if "outputs/loss" in stored:
        assert_close("loss", stored["outputs/loss"], np.float64(loss), "f32")
    return drops(indices, dropped)


def all_cases(fmoe, wrapper):
    """(file name, function that makes (tensors, metadata, check)) of every golden."""
    for dtype in ("f64", "f32"):
        yield f"batched-experts.{dtype}", lambda dtype=dtype: experts_case(dtype, False)
        yield f"batched-experts.full-{dtype}", lambda dtype=dtype: experts_case(dtype, True)
    for case in VIT_CASES:
        yield f"{case[0]}.{case[1]}", lambda case=case: vit_case(fmoe, *case)
    for name, tokens, experts, mode, random, (train, evaluation), skew, step in GSHARD_CASES:
        gate = {"kind": "gshard", "top_k": 2, "capacity": {"train": train, "eval": evaluation}, "random_routing": random}
        drops = name != "t16-e4.eval"  # its capacity, 19, is more than its 16 tokens
        yield f"gshard.gate.{name}", lambda g=gate, a=(mode, tokens, experts, skew, step, drops): gate_case(fmoe, g, *a)
    for name, tokens, experts, choices, step in TOP_K_CASES:
        gate = {"kind": "top_k", "top_k": choices}
        yield f"top_k.gate.{name}", lambda g=gate, a=("eval", tokens, experts, 0.0, step, False): gate_case(fmoe, g, *a)
    for name, tokens, experts, capacity, step in SWITCH_CASES:
        gate = {"kind": "switch", "capacity": {"train": 1.2, "eval": capacity}, "rounding": "up", "bias": True}
        yield f"switch.gate.{name}", lambda g=gate, a=("eval", tokens, experts, 1.0, step, True): gate_case(fmoe, g, *a)
    yield from language_goldens.cases()
    yield from lucidrains_goldens.cases()
    yield from blending_goldens.cases()
    yield from transformer_goldens.cases()
    yield from expert_goldens.cases(fmoe)
    yield from soft_moe_goldens.cases(wrapper)
    yield from joint_loss_goldens.cases()
    yield from gradient_goldens.cases(fmoe)
    yield from optimizer_goldens.cases()
    yield from step_goldens.cases(fmoe)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fastmoe", required=True, help="a checkout of FastMoE at the version in fastmoe_on_cpu.py")
    parser.add_argument("--soft-moe", required=True, help="a checkout of bwconrad/soft-moe at the version in soft_moe_models.py")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--only", default="", help="make only the files whose names begin so")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made_numbers.assert_philox_known_answers()
    fmoe = fastmoe_on_cpu.load(arguments.fastmoe)
    for name, make in all_cases(fmoe, soft_moe_models.load_wrapper(arguments.soft_moe)):
        if not name.startswith(arguments.only):
            continue
        tensors, about, check = make()
        path = arguments.out / f"{name}.safetensors"
        golden_file.write(path, tensors, about)
        print(f"{name}: {path.stat().st_size:,} bytes; {check(golden_file.read(path)[0])}")


if __name__ == "__main__":
    main()
