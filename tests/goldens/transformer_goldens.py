"""The goldens from Hugging Face's transformers: their cases and numbers, and the same models again in NumPy and float64."""
import math

import numpy as np

import golden_file
import made_numbers
import transformer_models
from golden_case import MARGIN, assert_close, first_seed_with, metadata, with_prefix, zoo_model
from numpy_check import linear, relu, softmax

BATCH, SOURCE, TARGET = 3, 23, 17
SMALL = {"vocabulary": 37, "dim": 16, "heads": 2, "head_dim": 6, "hidden": 20, "experts": 4, "encoder_layers": 1, "decoder_layers": 1}
SWITCH_CASES = [  # case, places of an expert in a batch row, description
    ("f32", 64, "the class's capacity: nobody is dropped"),
    ("tight", 5, "as f32 with a capacity that drops tokens in every sparse layer"),
]
T5 = {"dim": 8, "heads": 2, "head_dim": 4}
LLAMA = {"dim": 12, "heads": 6, "kv_heads": 2, "head_dim": 4, "base": 500.0}
GPTJ = {"dim": 12, "heads": 3, "head_dim": 4}


# --- the same in NumPy ---

def rms_norm(x, weight):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6) * weight


def bucket(distance, count, farthest):
    """T5's bucket of a distance of at least 0, of `count` in this direction. Logarithms of equal powers are taken as equal."""
    single = count // 2
    if distance < single:
        return distance
    grown = math.log(distance / single) / math.log(farthest / single) * (count - single)
    return min(single + math.floor(grown + 1e-9), count - 1)


def relative_bias(table, queries, keys, bidirectional, farthest=128):
    """(heads, queries, keys)."""
    count = len(table) // 2 if bidirectional else len(table)
    rows = np.empty((queries, keys), int)
    for i in range(queries):
        for j in range(keys):
            distance = abs(j - i) if bidirectional else max(i - j, 0)
            rows[i, j] = bucket(distance, count, farthest) + (count if bidirectional and j > i else 0)
    return table[rows].transpose(2, 0, 1)


def turn(x, base, interleaved):
    """Heads (B, h, N, d), each pair of columns turned by its position."""
    tokens, dim = x.shape[-2:]
    angles = np.arange(tokens)[:, None] * base ** (-2.0 * np.arange(dim // 2) / dim)
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :dim // 2], x[..., dim // 2:])
    turned = first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)
    return np.stack(turned, axis=-1).reshape(x.shape) if interleaved else np.concatenate(turned, axis=-1)


def attention(x, memory, weights, path, size, scale, causal=False, bias=0.0, rotary=lambda heads: heads):
    heads, kept, dim = size["heads"], size.get("kv_heads", size["heads"]), size["head_dim"]
    if path + ".qkv.weight" in weights:
        q, k, v = np.split(linear(x, weights[path + ".qkv.weight"]), [heads * dim, (heads + kept) * dim], axis=-1)
    else:
        q, (k, v) = linear(x, weights[path + ".q.weight"]), np.split(linear(memory, weights[path + ".kv.weight"]), 2, axis=-1)
    split = lambda value, count: value.reshape(*value.shape[:-1], count, dim).swapaxes(1, 2)
    q, k, v = rotary(split(q, heads)), rotary(split(k, kept)), split(v, kept)
    k, v = (np.repeat(value, heads // kept, axis=1) for value in (k, v))
    scores = scale * q @ k.swapaxes(-1, -2) + bias
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    y = (softmax(scores) @ v).swapaxes(1, 2)
    return linear(y.reshape(*y.shape[:2], -1), weights[path + ".out.weight"])


def sparse(x, weights, path, capacity, factors=1.0):
    """(result (B, N, D), indices (T, 1), weights (T, 1), margin, tokens dropped, logits (B, N, E)): each batch row has places of its own.
    `factors` are what transformers' jitter multiplies x by."""
    x = x * factors
    logits = linear(x, weights[path + ".gate.weight"])
    best, share = logits.argmax(axis=-1), softmax(logits).max(axis=-1)
    ordered = np.sort(logits, axis=-1)
    y, indices = np.zeros_like(x), best.copy()
    for b in range(x.shape[0]):
        taken = [0] * logits.shape[-1]
        for n in range(x.shape[1]):
            e = best[b, n]
            taken[e] += 1
            if taken[e] > capacity:
                indices[b, n] = -1
                continue
            hidden = relu(linear(x[b, n], weights[path + ".experts.up.weight"][e]))
            y[b, n] = share[b, n] * linear(hidden, weights[path + ".experts.down.weight"][e])
    return y, indices.reshape(-1, 1), share.reshape(-1, 1), (ordered[..., -1] - ordered[..., -2]).min(), int((indices < 0).sum()), logits


def router_losses(logits, gate):
    """{name of a stack's loss: (coefficient, loss)} of the sparse layers' logits {path: (B, N, E)}: those of a stack count as one layer of all their tokens."""
    losses = {}
    for stack in ("encoder", "decoder"):
        joined = np.concatenate([of_layer for path, of_layer in logits.items() if path.startswith(stack)], axis=1)
        count = joined.shape[-1]
        shares = np.eye(count)[joined.argmax(axis=-1)].mean(axis=1)
        losses[stack + ".balance_loss"] = gate["balance_loss"], count ** 2 * (shares * softmax(joined).mean(axis=1)).mean()
        if gate.get("z_loss"):
            losses[stack + ".z_loss"] = gate["z_loss"], (np.log(np.exp(joined).sum(axis=-1)) ** 2).mean()
    return losses


def recompute_switch(weights, ids, targets, size, factors={}):
    """(scores, {path of a sparse layer: what sparse() says behind its result})."""
    weights, routing = {name: value.astype(np.float64) for name, value in weights.items()}, {}

    def stack(name, x, memory):
        causal = name == "decoder"
        bias = relative_bias(weights[name + "_bias.weight"], x.shape[1], x.shape[1], not causal)
        for (which, _), (path, is_sparse) in transformer_models.layer_paths(size).items():
            if which != name:
                continue
            inner = f"{path}.self_attention"
            x = x + attention(rms_norm(x, weights[inner + ".rms_norm.weight"]), None, weights, inner + ".attention", size, 1.0, causal, bias)
            if causal:
                inner = f"{path}.cross_attention"
                x = x + attention(rms_norm(x, weights[inner + ".rms_norm.weight"]), memory, weights, inner + ".attention", size, 1.0)
            inner = f"{path}.{'sparse' if is_sparse else 'dense'}"
            normed = rms_norm(x, weights[inner + ".rms_norm.weight"])
            if is_sparse:
                y, *routing[inner + ".moe"] = sparse(normed, weights, inner + ".moe", size["expert_capacity"], factors.get(inner + ".moe", 1.0))
            else:
                y = linear(relu(linear(normed, weights[inner + ".mlp.up.weight"])), weights[inner + ".mlp.down.weight"])
            x = x + y
        return rms_norm(x, weights[name + "_norm.weight"])

    memory = stack("encoder", weights["shared.weight"][ids], None)
    shifted = np.concatenate([np.zeros_like(targets[:, :1]), targets[:, :-1]], axis=1)
    y = stack("decoder", weights["shared.weight"][shifted], memory)
    return linear(y * size["dim"] ** -0.5, weights["shared.weight"]), routing


# --- cases ---

def switch_shapes(size):
    """{parameter name: shape}."""
    dim, inner, hidden, count = size["dim"], size["heads"] * size["head_dim"], size["hidden"], size["experts"]
    shapes = {"shared.weight": (size["vocabulary"], dim)}
    for stack in ("encoder", "decoder"):
        shapes |= {f"{stack}_bias.weight": (32, size["heads"]), f"{stack}_norm.weight": (dim,)}
    for (stack, _), (path, is_sparse) in transformer_models.layer_paths(size).items():
        layer = {"self_attention.rms_norm": (dim,), "self_attention.attention.qkv": (3 * inner, dim), "self_attention.attention.out": (dim, inner)}
        if stack == "decoder":
            layer |= {"cross_attention.rms_norm": (dim,), "cross_attention.attention.q": (inner, dim),
                      "cross_attention.attention.kv": (2 * inner, dim), "cross_attention.attention.out": (dim, inner)}
        if is_sparse:
            layer |= {"sparse.rms_norm": (dim,), "sparse.moe.gate": (count, dim), "sparse.moe.experts.up": (count, hidden, dim),
                      "sparse.moe.experts.down": (count, dim, hidden)}
        else:
            layer |= {"dense.rms_norm": (dim,), "dense.mlp.up": (hidden, dim), "dense.mlp.down": (dim, hidden)}
        shapes |= {f"{path}.{name}.weight": shape for name, shape in layer.items()}
    return shapes


def switch_case(case, capacity, description):
    overrides = {"let": SMALL | {"expert_capacity": capacity}}
    size = zoo_model("hf-switch", overrides)["let"]

    def accept(rng):
        weights = {name: made_numbers.parameter(rng, name, shape, "f32") for name, shape in switch_shapes(size).items()}
        ids, targets = (rng.integers(0, size["vocabulary"], (BATCH, tokens)) for tokens in (SOURCE, TARGET))
        _, routing = recompute_switch(weights, ids, targets, size)
        clear = all(margin >= MARGIN for _, _, margin, *_ in routing.values())
        return (weights, ids, targets) if clear and (case != "tight" or all(dropped for *_, dropped, _ in routing.values())) else None

    seed, (weights, ids, targets) = first_seed_with(accept)
    scores, routing, parameters = transformer_models.run_switch(size, weights, ids, targets)
    assert parameters == sum(value.size for value in weights.values()), parameters
    tensors = with_prefix("weights", weights) | with_prefix("inputs", {"ids": ids, "targets": targets}) | {"outputs/scores": scores}
    for path, (indices, shares) in routing.items():
        tensors |= with_prefix(f"routing/{path}", {"indices": indices.astype(np.int32), "weights": shares})
    about = metadata(description, ["transformers"], model="hf-switch", overrides=overrides, mode="eval", seed=seed,
                     sizes={"batch": BATCH, "source": SOURCE, "target": TARGET})
    return tensors, about, lambda stored: check_switch(stored, size)


def check_switch(stored, size):
    scores, routing = recompute_switch(golden_file.group(stored, "weights"), stored["inputs/ids"], stored["inputs/targets"], size)
    lines = [f"scores {assert_close('scores', stored['outputs/scores'], scores, 'f32'):.1e}"]
    for path, (indices, shares, margin, dropped, _) in routing.items():
        assert margin >= MARGIN and np.array_equal(stored[f"routing/{path}/indices"], indices), path
        assert_close(path, stored[f"routing/{path}/weights"], shares, "f32")
        lines.append(f"{path}: {dropped} of {indices.size} dropped")
    return ", ".join(lines)


def layers_alone(blocks, dim):
    """Overrides that leave of hf-switch's file nothing but `blocks` on x."""
    inputs = {"ids": None, "targets": None, "x": {"shape": ["batch", "tokens", dim]}}
    return {"inputs": inputs, "let": None, "blocks": None, "loss": None, "model": blocks,
            "check": None}


def attention_block(size, **more):
    return {"kind": "attention", "heads": size["heads"], "head_dim": size["head_dim"], "qkv_bias": False, "out_bias": False} | more


def t5_case():
    size, tokens = T5, 300
    blocks = [{"kind": "relative_bias", "name": "both_bias", "heads": size["heads"]},
              attention_block(size, name="both", scale=1, bias="both_bias") | {"from": "x"},
              {"kind": "relative_bias", "name": "past_bias", "heads": size["heads"], "bidirectional": False},
              attention_block(size, name="past", scale=1, bias="past_bias", causal=True) | {"from": "both"}]
    inner = size["heads"] * size["head_dim"]
    shapes = {}
    for name in ("both", "past"):
        shapes |= {f"{name}_bias.weight": (32, size["heads"]), f"{name}.qkv.weight": (3 * inner, size["dim"]), f"{name}.out.weight": (size["dim"], inner)}

    def recompute(weights, x):
        for name, causal in (("both", False), ("past", True)):
            bias = relative_bias(weights[f"{name}_bias.weight"], tokens, tokens, not causal)
            x = attention(x, None, weights, name, size, 1.0, causal, bias)
        return x

    return layers_case("t5's attention with its bias of distances up to 299, to both sides and to the past", blocks, size, shapes, 1, tokens, "past",
                       transformer_models.run_t5_attention, recompute)


def llama_case():
    size = LLAMA
    blocks = [{"kind": "rms_norm"},
              attention_block(size, name="attention", kv_heads=size["kv_heads"], rotary="halves", rotary_base=size["base"], causal=True)]
    heads = size["heads"] + 2 * size["kv_heads"]
    shapes = {"rms_norm.weight": (size["dim"],), "attention.qkv.weight": (heads * size["head_dim"], size["dim"]),
              "attention.out.weight": (size["dim"], size["heads"] * size["head_dim"])}

    def recompute(weights, x):
        return attention(rms_norm(x, weights["rms_norm.weight"]), None, weights, "attention", size, size["head_dim"] ** -0.5, True,
                         rotary=lambda part: turn(part, size["base"], False))

    return layers_case("Llama's norm and attention: heads that share keys, halves turned by position", blocks, size, shapes, 2, 19, "attention",
                       transformer_models.run_llama_attention, recompute)


def gptj_case():
    size = GPTJ
    blocks = [attention_block(size, name="attention", rotary="interleaved", causal=True)]
    inner = size["heads"] * size["head_dim"]
    shapes = {"attention.qkv.weight": (3 * inner, size["dim"]), "attention.out.weight": (size["dim"], inner)}

    def recompute(weights, x):
        return attention(x, None, weights, "attention", size, size["head_dim"] ** -0.5, True, rotary=lambda part: turn(part, 10000.0, True))

    return layers_case("GPT-J's attention: neighbouring columns turned by position", blocks, size, shapes, 2, 19, "attention",
                       transformer_models.run_gptj_attention, recompute)


def layers_case(description, blocks, size, shapes, batch, tokens, output, run, recompute):
    seed, overrides = 3, layers_alone(blocks, size["dim"])
    rng = np.random.default_rng(seed)
    weights = {name: made_numbers.parameter(rng, name, shape, "f32") for name, shape in shapes.items()}
    x = rng.standard_normal((batch, tokens, size["dim"])).astype(np.float32)
    tensors = with_prefix("weights", weights) | {"inputs/x": x, f"outputs/{output}": run(size, weights, x)}
    about = metadata(description, ["transformers"], model="hf-switch", overrides=overrides, mode="eval", seed=seed,
                     sizes={"batch": batch, "tokens": tokens})

    def check(stored):
        wide = {name: value.astype(np.float64) for name, value in golden_file.group(stored, "weights").items()}
        return f"{output} {assert_close(output, stored[f'outputs/{output}'], recompute(wide, stored['inputs/x'].astype(np.float64)), 'f32'):.1e}"

    return tensors, about, check


def cases():
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for each in SWITCH_CASES:
        yield f"hf-switch.{each[0]}", lambda each=each: switch_case(*each)
    yield "attention.t5", t5_case
    yield "attention.llama", llama_case
    yield "attention.gptj", gptj_case
