"""The goldens of the language models: their cases, numbers and originals, and the same models again in NumPy and float64."""
import numpy as np

import golden_file
import language_models
import made_numbers
import numpy_check
from golden_case import MARGIN, assert_close, drops, first_seed_with, metadata, with_prefix, zoo_model

BATCH, SEQUENCE = 3, 7
SMALL = {"vocabulary": 37, "length": 9, "embedding": 16, "heads": 2, "layers": 2, "hidden": 20, "experts": 4}
NARROW = SMALL | {"output": 12}
BLOG = {name: value for name, value in NARROW.items() if name != "length"}
TIGHT = {"mixture": {"gate": {"capacity": {"eval": 0.8}}}}
CASES = [  # model, case, changes of "let", of "blocks", dtype, description
    ("switch-lm", "f32", SMALL, {}, "f32", "the paper's Switch with its capacity in evaluation"),
    ("switch-lm", "tight", SMALL, TIGHT, "f32", "as f32 with a capacity that drops rows"),
    ("switch-lm", "f64", SMALL, {}, "f64", "as f32, run in double"),
    ("gating-lm", "f32", NARROW, {}, "f32", "every expert, weighted; the deep head"),
    ("random-lm", "f32", NARROW, {}, "f32", "one expert for the whole call"),
    ("blended-lm", "f32", NARROW, {}, "f32", "every expert, of one layer, weighted"),
    ("switch-lm-blog", "f32", BLOG, {}, "f32", "as blended-lm, with attention over the batch and no positions"),
    ("gating-lm-blog", "f32", BLOG, {}, "f32", "as gating-lm, with attention over the batch and no positions"),
]


def shapes_of(size, mixture, deep_head):
    """{parameter name: shape}."""
    dim, hidden, count, experts = size["embedding"], size["hidden"], size["experts"], mixture["experts"]
    shapes = {"embedding.weight": (size["vocabulary"], dim)}
    if "length" in size:
        shapes["position_embedding.weight"] = (size["length"], dim)
    for i in range(size["layers"]):
        layer = {"attention.qkv": (3 * dim, dim), "attention.out": (dim, dim), "mlp.up": (hidden, dim), "mlp.down": (dim, hidden)}
        for name, shape in layer.items():
            shapes |= {f"layers.{i}.{name}.weight": shape, f"layers.{i}.{name}.bias": shape[:1]}
        for name in ("layer_norm", "layer_norm_2"):
            shapes |= {f"layers.{i}.{name}.weight": (dim,), f"layers.{i}.{name}.bias": (dim,)}
    if mixture["gate"]["kind"] != "random_expert":
        shapes["moe.gate.weight"] = (count, dim)
    if mixture["gate"]["kind"] == "dense":
        shapes["moe.gate.bias"] = (count,)
    if "widths" in experts:
        width, layers = experts["widths"][0], {"layers.0": (count, experts["widths"][0], dim)}
    else:
        width = experts.get("out", dim)
        layers = {"up": (count, experts["hidden"], dim), "down": (count, width, experts["hidden"])}
    for name, shape in layers.items():
        shapes |= {f"moe.experts.{name}.weight": shape, f"moe.experts.{name}.bias": shape[:2]}
    if deep_head:
        shapes |= {"linear.weight": (hidden, width), "linear.bias": (hidden,)}
        width = hidden
    return shapes | {"scores.weight": (size["vocabulary"], width), "scores.bias": (size["vocabulary"],)}


def resolved(value, let):
    """The value with every "$name" replaced."""
    if isinstance(value, dict):
        return {key: resolved(inner, let) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolved(inner, let) for inner in value]
    return let[value[1:]] if isinstance(value, str) and value.startswith("$") else value


def expert_of(x, weights, expert):
    """x (T, D) through one expert."""
    def layer(x, name):
        return numpy_check.linear(x, weights[f"moe.experts.{name}.weight"][expert], weights[f"moe.experts.{name}.bias"][expert])

    if "moe.experts.layers.0.weight" in weights:
        return layer(x, "layers.0")
    return layer(numpy_check.relu(layer(x, "up")), "down")


def mixture_of(x, weights, mixture, draws, mode):
    """(result (T, out), indices (T, K), weights (T, K), margin, rows dropped by capacity, balance loss without its coefficient)."""
    gate, count, balance = mixture["gate"], mixture["experts"]["count"], 0.0
    if gate["kind"] == "dense":
        logits = numpy_check.linear(x, weights["moe.gate.weight"], weights["moe.gate.bias"])
        chosen, share, margin, dropped = np.tile(np.arange(count), (len(x), 1)), numpy_check.softmax(logits), np.inf, 0
    elif gate["kind"] == "random_expert":
        draw = draws["moe.gate.expert"][0]
        chosen, share = np.full((len(x), 1), np.argmax(draw)), np.ones((len(x), 1))
        margin, dropped = np.diff(np.sort(draw))[-1], 0
    else:
        jitter = 1.0 - gate["jitter"] + 2.0 * gate["jitter"] * draws["moe.gate.jitter"] if "moe.gate.jitter" in draws else 1.0
        logits = numpy_check.linear(x * jitter, weights["moe.gate.weight"])
        chosen, share, _, margin, dropped = numpy_check.gate_of(gate, logits, None, mode)
        first = np.bincount(logits.argmax(axis=-1), minlength=count) / len(x)  # of all tokens, dropped ones too
        balance = count * (first * numpy_check.softmax(logits).mean(axis=0)).sum()
    each = [expert_of(x, weights, e) for e in range(count)]
    result = np.zeros_like(each[0])
    for t in range(len(x)):
        for e, weight in zip(chosen[t], share[t]):
            if e >= 0:
                result[t] += weight * each[e][t]
    return result, chosen, share, margin, dropped, balance


def recompute(weights, tokens, draws, size, mixture, deep_head, mode="eval", p=0.0):
    """(scores, what mixture_of says behind its result)."""
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    x, causal = weights["embedding.weight"][tokens], "length" in size
    x = x + weights["position_embedding.weight"][:tokens.shape[1]] if causal else x.swapaxes(0, 1)
    for i in range(size["layers"]):
        path = f"layers.{i}"
        attended = numpy_check.attention(x, weights, path + ".attention", size["heads"], causal, draws, p)
        x = numpy_check.layer_norm(x + numpy_check.dropped(attended, draws, path + ".dropout", p), weights, path + ".layer_norm")
        hidden = numpy_check.relu(numpy_check.linear(x, weights[path + ".mlp.up.weight"], weights[path + ".mlp.up.bias"]))
        hidden = numpy_check.dropped(hidden, draws, path + ".mlp.up.dropout", p)
        inner = numpy_check.linear(hidden, weights[path + ".mlp.down.weight"], weights[path + ".mlp.down.bias"])
        x = numpy_check.layer_norm(x + numpy_check.dropped(inner, draws, path + ".dropout_2", p), weights, path + ".layer_norm_2")
    x = x if causal else x.swapaxes(0, 1)
    y, *routing = mixture_of(x.reshape(-1, x.shape[-1]), weights, mixture, draws, mode)
    if deep_head:
        y = numpy_check.dropped(y, {name: draw.reshape(y.shape) for name, draw in draws.items() if name == "dropout"}, "dropout", p)
        y = numpy_check.relu(numpy_check.linear(y, weights["linear.weight"], weights["linear.bias"]))
    scores = numpy_check.linear(y, weights["scores.weight"], weights["scores.bias"])
    return scores.reshape(*tokens.shape, -1), routing


def case(name, case_name, let, blocks, dtype, description):
    overrides = {"let": let} | ({"blocks": blocks} if blocks else {}) | ({"dtype": dtype} if dtype != "f32" else {})
    model = zoo_model(name, overrides)
    size = model["let"]
    mixture, deep_head = resolved(model["blocks"]["mixture"], size), any(block["kind"] == "dropout" for block in model["model"])

    def accept(rng):
        shapes = shapes_of(size, mixture, deep_head)
        weights = {key: made_numbers.parameter(rng, key, shape, dtype) for key, shape in shapes.items()}
        tokens = rng.integers(0, size["vocabulary"], (BATCH, SEQUENCE))
        draws = {}
        if mixture["gate"]["kind"] == "random_expert":
            draws["moe.gate.expert"] = made_numbers.uniform(rng, size["experts"])[None]
        _, (_, _, margin, dropped, _) = recompute(weights, tokens, draws, size, mixture, deep_head)
        return (weights, tokens, draws) if margin >= MARGIN and (case_name != "tight" or dropped) else None

    seed, (weights, tokens, draws) = first_seed_with(accept)
    scores, indices, shares, parameters = language_models.run(size, mixture, deep_head, weights, tokens, draws)
    assert parameters == sum(value.size for value in weights.values()), parameters
    inputs = {"tokens": tokens, "targets": np.roll(tokens, -1, axis=1)}
    tensors = with_prefix("weights", weights) | with_prefix("inputs", inputs) | with_prefix("draws", draws) | {"outputs/scores": scores}
    if indices is not None:
        tensors |= with_prefix("routing/moe", {"indices": indices.astype(np.int32), "weights": shares})
    about = metadata(description, [], model=name, overrides=overrides, mode="eval", seed=seed,
                     sizes={"batch": BATCH, "sequence": SEQUENCE})
    return tensors, about, lambda stored: check(stored, size, mixture, deep_head, dtype)


def check(stored, size, mixture, deep_head, dtype):
    weights, draws = golden_file.group(stored, "weights"), golden_file.group(stored, "draws")
    scores, (indices, shares, margin, dropped, _) = recompute(weights, stored["inputs/tokens"], draws, size, mixture, deep_head)
    error = assert_close("scores", stored["outputs/scores"], scores, dtype)
    if "routing/moe/indices" in stored:
        assert margin >= MARGIN and np.array_equal(stored["routing/moe/indices"], indices)
        assert_close("weights", stored["routing/moe/weights"], shares, dtype)
    return f"scores {error:.1e}, {drops(indices, dropped)}"


def cases():
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for each in CASES:
        yield f"{each[0]}.{each[1]}", lambda each=each: case(*each)
