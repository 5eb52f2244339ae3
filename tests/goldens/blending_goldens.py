"""The goldens of mann and soft-moe: their cases, numbers and originals, and the same models again in NumPy and float64."""
import numpy as np

import blending_models
import golden_file
import made_numbers
import numpy_check
from golden_case import assert_close, merge_patch, metadata, with_prefix, zoo_model

MANN_CASES = [  # case, width of an input of the gate's own, dtype, description
    ("f32", None, "f32", "parameters mixed for each sample"),
    ("f64", None, "f64", "as f32, run in double"),
    ("gate-input", 7, "f32", "a gate with an input of its own"),
    ("one-product", None, "f32", "as f32, each blended layer one product"),
    ("one-product-f64", None, "f64", "the same in double"),
]
SOFT_CASES = [  # case, tokens, experts' first version, dtype, description
    ("f32", 9, True, "f32", "the first version: LayerNorm and ReLU behind the experts' last layer too"),
    ("few-tokens", 2, True, "f32", "as f32, of other tokens, fewer"),
    ("newest", 9, False, "f32", "the newest version: nothing behind the experts' last layer; a mask"),
    ("f64", 9, True, "f64", "as f32, run in double"),
]
MANN_SIZE = {"hidden": 24, "experts": 3}
SOFT_SIZE, WIDTH = {"experts": 3, "slots": 2}, 16
BATCH = {"mann": 5, "soft-moe": 3}


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


def widened(tensors):
    return {name: value.astype(np.float64) for name, value in tensors.items()}


# --- mann ---

def mann_shapes(inputs, size, out):
    hidden, count = size["hidden"], size["experts"]
    gate = inputs.get("gate_input", inputs["x"])
    shapes = {}
    for i, (wide, narrow) in enumerate(((hidden, gate), (hidden, hidden), (hidden, hidden), (count, hidden))):
        shapes |= {f"gate.layers.{i}.weight": (wide, narrow), f"gate.layers.{i}.bias": (wide,)}
    for layer, (wide, narrow) in zip(blending_models.LAYERS, ((hidden, inputs["x"]), (hidden, hidden), (out, hidden))):
        shapes |= {f"{layer}.experts.layers.0.weight": (count, wide, narrow), f"{layer}.experts.layers.0.bias": (count, wide)}
    return shapes


def recompute_mann(weights, x, gate_input):
    hidden = gate_input
    for i in range(4):
        hidden = numpy_check.linear(hidden, weights[f"gate.layers.{i}.weight"], weights[f"gate.layers.{i}.bias"])
        hidden = elu(hidden) if i < 3 else hidden
    coefficients = numpy_check.softmax(hidden)
    for layer in blending_models.LAYERS:
        weight, bias = (weights[f"{layer}.experts.layers.0.{kind}"] for kind in ("weight", "bias"))
        x = sum(coefficients[:, e, None] * numpy_check.linear(x, weight[e], bias[e]) for e in range(len(weight)))
        x = elu(x) if layer != blending_models.LAYERS[-1] else x
    return {"y": x, "coefficients": coefficients}


def in_one_product(weights):
    """The experts' matrices side by side, as mixed_linear has them; the gate's stay."""
    joined = {}
    for name, value in weights.items():
        layer, *rest = name.split(".")
        if layer in blending_models.LAYERS:
            name, value = f"{layer}.{rest[-1]}", np.ascontiguousarray(np.moveaxis(value, 0, 1)).reshape(value.shape[1], -1)
        joined[name] = value
    return joined


def apart(weights, experts):
    """The inverse."""
    given = {}
    for name, value in weights.items():
        layer, *rest = name.split(".")
        if layer in blending_models.LAYERS:
            value = value.reshape(len(value), experts, -1) if rest == ["weight"] else value
            name, value = f"{layer}.experts.layers.0.{rest[-1]}", np.ascontiguousarray(np.moveaxis(value, 1, 0))
        given[name] = value
    return given


def in_products(model):
    """Overrides that make each blended layer of mann one product."""
    gate, softmax, *layers = model["model"]
    blocks, before = [gate, softmax], "x"
    for block in layers:
        if block["kind"] == "blended_linear":
            blocks.append({"kind": "mixed_linear", "name": block["name"], "from": [before, "coefficients"], "out": block["out"]})
        else:
            before = f"behind_{blocks[-1]['name']}"
            blocks.append(block | {"name": before})
    return {"blocks": None, "model": blocks}


def mann_case(case_name, gate_width, dtype, description):
    overrides = {"let": MANN_SIZE} | ({"dtype": dtype} if dtype != "f32" else {})
    model = zoo_model("mann", overrides)
    if gate_width:  # a merge patch replaces a list as a whole
        first = merge_patch(model["model"][0], {"from": "gate_input"})
        overrides |= {"inputs": {"gate_input": {"shape": ["batch", gate_width]}}, "model": [first, *model["model"][1:]]}
        model = zoo_model("mann", overrides)
    out = model["model"][-1]["out"]
    is_product = case_name.startswith("one-product")
    if is_product:
        overrides |= in_products(model)
    widths = {name: value["shape"][-1] for name, value in model["inputs"].items() if name != "target"}
    rng = np.random.default_rng(11)
    weights = {key: made_numbers.parameter(rng, key, shape, dtype) for key, shape in mann_shapes(widths, model["let"], out).items()}
    kind = made_numbers.NUMPY[dtype]
    inputs = {name: rng.standard_normal((BATCH["mann"], width)).astype(kind) for name, width in (widths | {"target": out}).items()}
    y, coefficients = blending_models.run_mann(weights, inputs["x"], inputs.get("gate_input", inputs["x"]))
    tensors = with_prefix("weights", in_one_product(weights) if is_product else weights) | with_prefix("inputs", inputs)
    tensors |= with_prefix("outputs", {"y": y, "coefficients": coefficients})
    about = metadata(description, [], model="mann", overrides=overrides, seed=11, sizes={"batch": BATCH["mann"]})
    return tensors, about, lambda stored: check_mann(stored, dtype, is_product)


def check_mann(stored, dtype, is_product):
    weights, inputs = widened(golden_file.group(stored, "weights")), widened(golden_file.group(stored, "inputs"))
    weights = apart(weights, MANN_SIZE["experts"]) if is_product else weights
    outputs = recompute_mann(weights, inputs["x"], inputs.get("gate_input", inputs["x"]))
    return ", ".join(f"{name} {assert_close(name, stored[f'outputs/{name}'], value, dtype):.1e}" for name, value in outputs.items())


# --- soft-moe ---

def soft_shapes(first_version):
    count, norm = SOFT_SIZE["experts"], {"weight": (WIDTH,), "bias": (WIDTH,)}
    shapes = {"y.slots": (count * SOFT_SIZE["slots"], WIDTH)}
    for layer in ("up", "down"):
        parts = {"weight": (WIDTH, WIDTH), "bias": (WIDTH,)}
        if first_version or layer == "up":
            parts |= {f"layer_norm.{kind}": shape for kind, shape in norm.items()}
        shapes |= {f"y.experts.{layer}.{kind}": (count, *shape) for kind, shape in parts.items()}
    return shapes


def recompute_soft_moe(weights, x, mask):
    def expert(value, e):
        for layer in ("up", "down"):
            mine = {name: array[e] for name, array in weights.items() if name.startswith(f"y.experts.{layer}.")}
            value = numpy_check.linear(value, mine[f"y.experts.{layer}.weight"], mine[f"y.experts.{layer}.bias"])
            if f"y.experts.{layer}.layer_norm.weight" in mine:
                value = numpy_check.relu(numpy_check.layer_norm(value, mine, f"y.experts.{layer}.layer_norm"))
        return value

    logits = x @ weights["y.slots"].T  # (B, N, E * S)
    if mask is not None:
        logits[mask == 0] = -np.finfo(np.float64).max
    slots = numpy_check.softmax(logits.transpose(0, 2, 1)) @ x
    each = SOFT_SIZE["slots"]
    outputs = np.concatenate([expert(slots[:, e * each:(e + 1) * each], e) for e in range(SOFT_SIZE["experts"])], axis=1)
    return numpy_check.softmax(logits) @ outputs


def soft_overrides(first_version):
    shape = {"shape": ["batch", "tokens", WIDTH]}
    experts = {"hidden": WIDTH} | ({} if first_version else {"output_activation": "identity", "output_layer_norm": False})
    overrides = {"inputs": {"x": shape, "target": shape}, "let": SOFT_SIZE, "blocks": {"mixture": {"experts": experts}}}
    if not first_version:  # some tokens, no tokens, all tokens; a merge patch replaces a list as a whole
        overrides["inputs"] |= {"mask": {"shape": ["batch", "tokens"]}}
        overrides["model"] = [merge_patch(zoo_model("soft-moe", {})["model"][0], {"from": ["x", "mask"]})]
    return overrides


def soft_mask(batch, tokens):
    """Some tokens of the first row of the batch are masked, all of the second, none of the others."""
    mask = np.ones((batch, tokens))
    mask[0, 1::3], mask[1] = 0, 0
    return mask


def soft_case(case_name, tokens, first_version, dtype, description):
    overrides = soft_overrides(first_version) | ({"dtype": dtype} if dtype != "f32" else {})
    rng = np.random.default_rng(13)
    weights = {key: made_numbers.parameter(rng, key, shape, dtype) for key, shape in soft_shapes(first_version).items()}
    kind = made_numbers.NUMPY[dtype]
    inputs = {name: rng.standard_normal((BATCH["soft-moe"], tokens, WIDTH)).astype(kind) for name in ("x", "target")}
    if not first_version:
        inputs["mask"] = soft_mask(BATCH["soft-moe"], tokens).astype(kind)
    y, parameters = blending_models.run_soft_moe(weights, inputs["x"], inputs.get("mask"), SOFT_SIZE["slots"], first_version)
    assert parameters == sum(value.size for value in weights.values()), parameters
    tensors = with_prefix("weights", weights) | with_prefix("inputs", inputs) | {"outputs/y": y}
    sizes = {"batch": BATCH["soft-moe"], "tokens": tokens}
    about = metadata(description, [], model="soft-moe", overrides=overrides, seed=13, sizes=sizes)

    def check(stored):
        wide = widened(golden_file.group(stored, "weights"))
        found = recompute_soft_moe(wide, stored["inputs/x"].astype(np.float64), stored.get("inputs/mask"))
        return f"y {assert_close('y', stored['outputs/y'], found, dtype):.1e}"

    return tensors, about, check


def cases():
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for each in MANN_CASES:
        yield f"mann.{each[0]}", lambda each=each: mann_case(*each)
    for each in SOFT_CASES:
        yield f"soft-moe.{each[0]}", lambda each=each: soft_case(*each)
