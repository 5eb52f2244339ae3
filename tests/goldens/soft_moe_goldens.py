"""The goldens of the soft mixtures' versions: their cases, numbers and originals, and the same again in NumPy and float64."""
import numpy as np
import torch

import golden_file
import gradients
import made_numbers
import numpy_check
import soft_moe_models
from golden_case import assert_close, metadata, with_prefix, zoo_model

EXPERTS, SLOTS, WIDTH, HIDDEN, BATCH = 3, 2, 8, 5, 3
MLP = {"kind": "mlp", "count": EXPERTS, "hidden": HIDDEN, "activation": "gelu"}
GEGLU = {"kind": "gated_mlp", "count": EXPERTS, "hidden": HIDDEN, "activation": "gelu", "bias": True}
NORMS = {"rms": {"norm": "rms"}, "layer": {"norm": "layer"}, "l2": {"norm": "l2", "scale": True}, "paper": {"norm": "l2", "scale": True, "fill": "tokens"}}
CASES = {  # case: (kind, x's dimensions between the batch and the width, experts, masked, noise, description)
    "rms": ("rms", (7,), MLP, True, 0, "soft-moe-pytorch's SoftMoE with a mask: of some tokens, of all, of none"),
    "rms-geglu": ("rms", (3,), GEGLU, False, 0, "the same of 3 tokens, with GEGLU experts"),
    "rms-one": ("rms", (), MLP, False, 0, "the same of single tokens"),
    "rms-picture": ("rms", (2, 3), MLP, False, 0, "the same of pictures"),
    "rms-noise": ("rms", (5,), MLP, True, 0.7, "the same with noise by draws, and a mask"),
    "layer": ("layer", (2,), MLP, False, 0, "the same with LayerNorms, of 2 tokens"),
    "dynamic": ("dynamic", (7,), MLP, False, 0, "soft-moe-pytorch's DynamicSlotsSoftMoE; the last run of tokens is short"),
    "dynamic-even": ("dynamic", (6,), GEGLU, False, 0, "the same of whole runs, with GEGLU experts"),
    "dynamic-mask": ("dynamic", (8,), MLP, True, 0, "the same with a mask: of some tokens and a whole run, of all, of none"),
    "dynamic-one": ("dynamic", (1,), MLP, False, 0, "the same of 1 token"),
    "dynamic-two": ("dynamic", (2,), MLP, False, 0, "the same of 2 tokens"),
    "l2": ("l2", (5,), MLP, False, 0, "bwconrad's wrapper"),
    "paper": ("paper", (5,), MLP, False, 0, "the paper's normalisation, of the products alone"),
}


def layer_of(kind, experts, masked, noise):
    layer = {"kind": "dynamic_soft_moe" if kind == "dynamic" else "soft_moe", "name": "y", "experts": experts} | NORMS.get(kind, {})
    layer |= {"slots": SLOTS} if kind != "dynamic" else {}
    layer |= {"noise": noise} if noise else {}
    return layer | ({"from": ["x", "mask"]} if masked else {})


def shape_of(places):
    """x's, as the model's file has it: pictures have their width in front."""
    return ["batch", WIDTH] if not places else ["batch", "tokens", WIDTH] if len(places) == 1 else ["batch", WIDTH, *places]


def overrides_of(case, dtype):
    kind, places, experts, masked, noise, _ = CASES[case]
    shape = {"shape": shape_of(places)}
    inputs = {"x": shape, "target": shape} | ({"mask": {"shape": ["batch", "tokens"]}} if masked else {})
    overrides = {"inputs": inputs, "let": None, "blocks": None, "check": None, "model": [layer_of(kind, experts, masked, noise)]}
    return overrides | ({"dtype": dtype} if dtype != "f32" else {})


def shapes_of(kind, experts):
    shapes = {"y.norm.weight": (WIDTH,), "y.slot_norm.weight": (WIDTH,)} if kind in ("rms", "layer", "dynamic") else {"y.scale": (1,)}
    shapes |= {"y.to_slots.weight": (EXPERTS * WIDTH, WIDTH)} if kind == "dynamic" else {"y.slots": (EXPERTS * SLOTS, WIDTH)}
    for layer, out, width in (("up", HIDDEN, WIDTH), ("gate", HIDDEN, WIDTH), ("down", WIDTH, HIDDEN)):
        if layer != "gate" or experts["kind"] == "gated_mlp":
            shapes |= {f"y.experts.{layer}.weight": (EXPERTS, out, width), f"y.experts.{layer}.bias": (EXPERTS, out)}
    return shapes


def mask_of(case, tokens):
    """Some tokens of the first row of the batch are masked (of dynamic slots a whole run too), all of the second, none of the third."""
    mask = np.ones((BATCH, tokens))
    mask[0, 1::3], mask[1] = 0, 0
    if case.startswith("dynamic"):
        mask[0, EXPERTS:2 * EXPERTS] = 0
    return mask


def numbers_of(case, dtype, rng):
    kind, places, experts, masked, noise, _ = CASES[case]
    weights = {name: made_numbers.parameter(rng, name, shape, dtype) for name, shape in shapes_of(kind, experts).items()}
    if "y.scale" in weights:  # far from 1
        weights["y.scale"] = np.full_like(weights["y.scale"], 2.5)
    if "y.slots" in weights:  # products that matter
        weights["y.slots"] = 2 * weights["y.slots"]
    shape, numpy_type = [BATCH if size == "batch" else places[0] if size == "tokens" else size for size in shape_of(places)], made_numbers.NUMPY[dtype]
    inputs = {name: rng.standard_normal(shape).astype(numpy_type) for name in ("x", "target")}
    inputs |= {"mask": mask_of(case, places[0]).astype(numpy_type)} if masked else {}
    draws = {"y.noise": made_numbers.uniform(rng, BATCH * places[0] * EXPERTS * SLOTS).reshape(BATCH, places[0], -1).astype(numpy_type)} if noise else {}
    return weights, inputs, draws


# --- the same in NumPy ---

def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def rms(x, weight):
    return unit(x) * x.shape[-1] ** 0.5 * weight


def layer(x, weight):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(axis=-1, keepdims=True) + 1e-5) * weight


def expert(weights, e, x):
    mine = {name.removeprefix("y.experts."): value[e] for name, value in weights.items() if name.startswith("y.experts.")}
    up = numpy_check.linear(x, mine["up.weight"], mine["up.bias"])
    if "gate.weight" in mine:
        hidden = up * numpy_check.gelu(numpy_check.linear(x, mine["gate.weight"], mine["gate.bias"]))
    else:
        hidden = numpy_check.gelu(up)
    return numpy_check.linear(hidden, mine["down.weight"], mine["down.bias"])


def dynamic(weights, x, mask):
    """(tokens with what fills the last run, products (N, E * S)) of one row of the batch."""
    x = rms(x, weights["y.norm.weight"])
    runs = -(-len(x) // EXPERTS)
    filled = np.zeros((runs * EXPERTS, WIDTH))
    filled[:len(x)] = x
    kept = np.zeros(len(filled), bool)
    kept[:len(x)] = mask > 0
    of_runs = kept.reshape(runs, EXPERTS)
    means = np.stack([run[own].mean(axis=0) if own.any() else np.zeros(WIDTH) for run, own in zip(filled.reshape(runs, EXPERTS, WIDTH), of_runs)])
    vectors = (means @ weights["y.to_slots.weight"].T).reshape(runs, EXPERTS, WIDTH).swapaxes(0, 1)
    products = filled @ rms(vectors, weights["y.slot_norm.weight"]).reshape(-1, WIDTH).T
    products[:, ~np.tile(of_runs.any(axis=1), EXPERTS)] = -np.finfo(np.float64).max
    products[~kept] = -np.finfo(np.float64).max
    return filled, products


def recompute(case, weights, inputs, draws):
    kind, places, _, _, noise, _ = CASES[case]
    x = inputs["x"]
    shape = x.shape
    x = x[:, None] if not places else x.transpose(0, 2, 3, 1).reshape(BATCH, -1, WIDTH) if len(places) == 2 else x
    rows = []
    for b, tokens in enumerate(x):
        mask = inputs["mask"][b] if "mask" in inputs else np.ones(len(tokens))
        if kind == "dynamic":
            mixed, products = dynamic(weights, tokens, mask)
        else:
            norm = {"rms": rms, "layer": layer}.get(kind)
            normed = unit(tokens) if norm is None else norm(tokens, weights["y.norm.weight"])
            slots = weights["y.scale"] * unit(weights["y.slots"]) if norm is None else norm(weights["y.slots"], weights["y.slot_norm.weight"])
            mixed, products = tokens if kind == "paper" else normed, normed @ slots.T
            if noise:
                products = products - noise * np.log(-np.log(np.maximum(draws["y.noise"][b], 1e-20)))
            products[mask == 0] = -np.finfo(np.float64).max
        slots = numpy_check.softmax(products.T) @ mixed
        each = len(slots) // EXPERTS
        made = np.concatenate([expert(weights, e, slots[e * each:(e + 1) * each]) for e in range(EXPERTS)])
        rows.append((numpy_check.softmax(products) @ made)[:len(tokens)])
    y = np.stack(rows)
    return y.reshape(shape) if len(places) < 2 else y.reshape(BATCH, *places, WIDTH).transpose(0, 3, 1, 2)


# --- cases ---

def sizes_of(case):
    places = CASES[case][1]
    return {"batch": BATCH} | ({"tokens": places[0]} if len(places) == 1 else {})


def packages_of(case):
    return ["soft-moe-pytorch"] if CASES[case][0] in ("rms", "layer", "dynamic") else ["bwconrad/soft-moe"] if CASES[case][0] == "l2" else []


def y_of(case, weights, inputs, draws, wrapper):
    """(y, x with its gradient to come, Placement)."""
    model, placement = soft_moe_models.build(CASES[case][0], weights, wrapper)
    given = gradients.leaves({name: value for name, value in inputs.items() if name != "mask"})
    mask = torch.from_numpy(inputs["mask"]) if "mask" in inputs else None
    return soft_moe_models.run(model.train(), given["x"], mask, draws.get("y.noise"), CASES[case][4]), given, placement


def forward_case(case, wrapper):
    weights, inputs, draws = numbers_of(case, "f32", np.random.default_rng(17))
    y = y_of(case, weights, inputs, draws, wrapper)[0].detach().numpy()
    tensors = with_prefix("weights", weights) | with_prefix("inputs", inputs) | with_prefix("draws", draws) | {"outputs/y": np.ascontiguousarray(y)}
    about = metadata(CASES[case][5], packages_of(case), model="soft-moe", overrides=overrides_of(case, "f32"), seed=17, sizes=sizes_of(case))

    def check(stored):
        parts = gradients.wide(*(golden_file.group(stored, part) for part in ("weights", "inputs", "draws")))
        return f"y {assert_close('y', stored['outputs/y'], recompute(case, *parts), 'f32'):.1e}"

    return tensors, about, check


def gradient_case(case, dtype, wrapper):
    def again(weights, inputs, draws):
        return ((recompute(case, weights, inputs, draws) - inputs["target"]) ** 2).mean(), {}, np.inf

    def run(weights, inputs, draws):
        y, given, placement = y_of(case, weights, inputs, draws, wrapper)
        loss = torch.nn.functional.mse_loss(y, given["target"])
        return gradients.differentiated(loss, {}), placement.gradients(), gradients.gathered(given)

    return gradients.golden("soft-moe", overrides_of(case, dtype), dtype, sizes_of(case), packages_of(case), CASES[case][5],
                            lambda rng: numbers_of(case, dtype, rng), run, again)


def cases(wrapper):
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for case in CASES:
        yield f"soft-moe.{case}", lambda case=case: forward_case(case, wrapper)
        for dtype in ("f32", "f64"):
            yield f"soft-moe.gradients.{case}-{dtype}", lambda case=case, dtype=dtype: gradient_case(case, dtype, wrapper)
