"""The goldens of kinds of experts: their cases, numbers and originals, and the same layers again in NumPy and float64."""
import numpy as np

import expert_models
import golden_file
import made_numbers
import numpy_check
from golden_case import MARGIN, assert_close, first_seed_with, metadata, with_prefix
from torch import nn

BATCH, TOKENS, WIDTH, CHOICES = 3, 7, 12, 2
GATE = {"kind": "top_k", "top_k": CHOICES}
MIXTURES = {  # case: (layer, weights' shapes, what the gate's weights are)
    "mixtral": {"kind": "moe", "gate": GATE | {"bias": False, "softmax": "all", "normalize": True}, "experts": {"kind": "gated_mlp", "count": 5, "hidden": 10}},
    "qwen2-moe": {"kind": "moe", "gate": GATE | {"bias": False, "softmax": "all"}, "experts": {"kind": "gated_mlp", "count": 5, "hidden": 10},
                  "shared": {"kind": "gated_mlp", "hidden": 9}, "shared_gate": True},
    "gpt-oss": {"kind": "moe", "gate": GATE, "experts": {"kind": "gated_mlp", "count": 5, "hidden": 10, "bias": True, "activation": "quick_gelu", "limit": 7,
                                                         "up_offset": 1}},
    "norms": {"kind": "moe", "gate": GATE, "experts": {"kind": "mlp", "count": 4, "widths": [WIDTH, 9, WIDTH], "activation": "relu", "layer_norm": True,
                                                       "output_layer_norm": True, "residual": True}},
    "masked": {"kind": "moe", "gate": GATE, "experts": {"kind": "mlp", "count": 4, "hidden": 10}, "mask": "mask", "mask_values": [0.75, -1.5]},
    "kinds": {"kind": "moe", "gate": GATE, "experts": [{"kind": "mlp", "count": 2, "hidden": 10}, {"kind": "linear", "count": 1},
                                                       {"kind": "mlp", "count": 2, "hidden": 17, "activation": "relu"}]},
}
GEGLU = {"kind": "gated_mlp", "hidden": 10, "activation": "gelu", "bias": True, "multiplier": True}
DESCRIPTIONS = {
    "mixtral": "Mixtral's layer: SwiGLU experts, the chosen weights made to sum to 1",
    "qwen2-moe": "Qwen2-MoE's layer: as Mixtral's without that, and a shared expert behind a sigmoid",
    "gpt-oss": "GPT-OSS's layer: both halves of an expert are held to 7, some of them from outside",
    "norms": "FastMoE's gate; experts with a LayerNorm behind every layer, and residuals where widths agree",
    "masked": "FastMoE with a mask: of three tokens in five experts compute none, and a mask_dict has values for two of the three kinds of these",
    "kinds": "FastMoE with a list of expert classes: two networks, a linear layer, two wider networks",
    "st-moe": "st-moe-pytorch's expert alone: GEGLU with its multiplier",
}


def pair(path, out, width, count=(), bias=True):
    return {f"{path}.weight": (*count, out, width)} | ({f"{path}.bias": (*count, out)} if bias else {})


def gated(path, layer, count=()):
    bias, hidden = layer.get("bias", False), layer["hidden"]
    shapes = pair(f"{path}.gate", hidden, WIDTH, count, bias) | pair(f"{path}.up", hidden, WIDTH, count, bias) | pair(f"{path}.down", WIDTH, hidden, count, bias)
    return shapes | ({f"{path}.multiplier": (*count, hidden)} if layer.get("multiplier") else {})


def experts_shapes(path, experts):
    count = (experts["count"],)
    if experts["kind"] == "gated_mlp":
        return gated(path, experts, count)
    if experts["kind"] == "linear":
        return pair(path, WIDTH, WIDTH, count)
    if "hidden" in experts:
        return pair(f"{path}.up", experts["hidden"], WIDTH, count) | pair(f"{path}.down", WIDTH, experts["hidden"], count)
    shapes, before = {}, WIDTH
    for i, out in enumerate(experts["widths"]):
        shapes |= pair(f"{path}.layers.{i}", out, before, count)
        shapes |= {f"{path}.layers.{i}.layer_norm.{kind}": (*count, out) for kind in ("weight", "bias")}
        before = out
    return shapes


def groups(layer):
    """(path, experts) of each kind."""
    experts = layer["experts"]
    return [(f"y.experts.{i}", each) for i, each in enumerate(experts)] if isinstance(experts, list) else [("y.experts", experts)]


def shapes_of(layer):
    if layer["kind"] == "gated_mlp":
        return gated("y", layer)
    shapes = pair("y.gate", sum(experts["count"] for _, experts in groups(layer)), WIDTH, bias=layer["gate"].get("bias", True))
    for path, experts in groups(layer):
        shapes |= experts_shapes(path, experts)
    if "shared" in layer:
        shapes |= gated("y.shared", layer["shared"]) | {"y.shared_gate.weight": (1, WIDTH)}
    return shapes


# --- the layers again, in NumPy ---

def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def part(weights, path, e):
    """The matrix and the bias of a layer, of expert e of it if there is one."""
    weight, bias = weights[f"{path}.weight"], weights.get(f"{path}.bias", np.float64(0))
    return (weight, bias) if e is None else (weight[e], bias[e] if bias.ndim else bias)


clamped = [0, 0]  # how many elements of gates and ups a limit has held since this was set


def gated_again(weights, path, layer, x, e=None):
    act = {"silu": lambda v: v * sigmoid(v), "gelu": numpy_check.gelu, "quick_gelu": lambda v: v * sigmoid(1.702 * v)}[layer.get("activation", "silu")]
    gate, up = (numpy_check.linear(x, *part(weights, f"{path}.{half}", e)) for half in ("gate", "up"))
    if "limit" in layer:
        clamped[0] += (gate > layer["limit"]).sum()
        clamped[1] += (np.abs(up) > layer["limit"]).sum()
        gate, up = np.minimum(gate, layer["limit"]), np.clip(up, -layer["limit"], layer["limit"])
    hidden = act(gate) * (up + layer.get("up_offset", 0))
    return numpy_check.linear(hidden * weights.get(f"{path}.multiplier", 1.0), *part(weights, f"{path}.down", e))


def expert_again(weights, path, experts, x, e):
    if experts["kind"] == "gated_mlp":
        return gated_again(weights, path, experts, x, e)
    if experts["kind"] == "linear":
        return numpy_check.linear(x, *part(weights, path, e))
    if "hidden" in experts:
        act = (lambda v: np.maximum(v, 0)) if experts.get("activation") == "relu" else numpy_check.gelu
        return numpy_check.linear(act(numpy_check.linear(x, *part(weights, f"{path}.up", e))), *part(weights, f"{path}.down", e))
    for i, out in enumerate(experts["widths"]):
        y = numpy_check.linear(x, *part(weights, f"{path}.layers.{i}", e))
        norm = [weights[f"{path}.layers.{i}.layer_norm.{kind}"][e] for kind in ("weight", "bias")]
        y = (y - y.mean()) / np.sqrt(y.var() + 1e-5) * norm[0] + norm[1]
        y = np.maximum(y, 0) if i + 1 < len(experts["widths"]) else y
        x = x + y if len(x) == out else y
    return x


def mask_of(layer):
    """Numbers of 0 to 3 for each token; mask_values has those of 1 and 2."""
    return np.arange(BATCH * TOKENS).reshape(BATCH, TOKENS) * 7 % 5 % 4 if "mask" in layer else None


def layer_again(weights, layer, x):
    """(y, the smallest gap between a chosen score and one left out) of x (B, N, D)."""
    if layer["kind"] == "gated_mlp":
        return gated_again(weights, "y", layer, x), np.inf
    every = [(path, experts, e) for path, experts in groups(layer) for e in range(experts["count"])]
    logits = numpy_check.linear(x, *part(weights, "y.gate", None)).reshape(-1, len(every))
    order = np.argsort(-logits, axis=-1, kind="stable")[:, :CHOICES + 1]
    chosen = np.take_along_axis(logits, order, axis=-1)
    factors = numpy_check.softmax(chosen[:, :CHOICES])
    if layer["gate"].get("softmax") == "all" and not layer["gate"].get("normalize"):
        factors = np.take_along_axis(numpy_check.softmax(logits), order[:, :CHOICES], axis=-1)
    y = np.stack([sum(factor * expert_again(weights, *every[e][:2], token, every[e][2]) for factor, e in zip(row, experts))
                  for token, row, experts in zip(x.reshape(-1, WIDTH), factors, order)]).reshape(x.shape)
    for number, value in enumerate([0.0, *layer.get("mask_values", []), 0.0]):
        if number and mask_of(layer) is not None:
            y[mask_of(layer) == number] = value  # the weights of a token's choices sum to 1
    if "shared" in layer:
        y = y + sigmoid(x @ weights["y.shared_gate.weight"].T) * gated_again(weights, "y.shared", layer["shared"], x)
    return y, -np.diff(chosen, axis=-1).max()


# --- cases ---

def original(fmoe, case, weights, x):
    if case == "mixtral":
        return expert_models.run_mixtral(weights, x, CHOICES)
    if case == "qwen2-moe":
        return expert_models.run_qwen2_moe(weights, x, CHOICES)
    if case == "gpt-oss":
        return expert_models.run_gpt_oss(weights, x, CHOICES)
    if case == "st-moe":
        return expert_models.run_st_moe(weights, x)
    if case == "norms":
        count = MIXTURES[case]["experts"]["count"]
        return expert_models.run_fastmoe(fmoe, weights, x, CHOICES, [lambda _, e=e: expert_models.NormedMlp(weights, "y.experts", e) for e in range(count)])
    makers = []
    for path, experts in groups(MIXTURES[case]):
        for e in range(experts["count"]):
            names = [path] if experts["kind"] == "linear" else [f"{path}.up", f"{path}.down"]
            act = nn.ReLU() if experts.get("activation") == "relu" else nn.GELU()
            layers = [expert_models.linear(weights, name, e) for name in names]
            makers.append(lambda _, layers=layers, act=act: nn.Sequential(layers[0], *(step for layer in layers[1:] for step in (act, layer))))
    layer = MIXTURES[case]
    masked = {"mask": mask_of(layer), "mask_dict": dict(enumerate(layer["mask_values"], 1))} if "mask" in layer else {}
    return expert_models.run_fastmoe(fmoe, weights, x, CHOICES, makers, **masked)


def case_of(fmoe, case):
    layer = MIXTURES.get(case, GEGLU)
    mask = {"mask": {"shape": ["batch", "tokens"], "dtype": "i64"}} if "mask" in layer else {}
    model = [layer | {"name": "y"}]
    overrides = {"name": f"experts-{case}", "inputs": {"x": {"shape": ["batch", "tokens", WIDTH]}, "target": None} | mask, "let": None, "blocks": None, "loss": None,
                 "check": None, "model": model}

    def accept(rng):
        weights = {name: made_numbers.parameter(rng, name, shape, "f32") for name, shape in shapes_of(layer).items()}
        x = (rng.standard_normal((BATCH, TOKENS, WIDTH)) * (4 if "limit" in layer.get("experts", {}) else 1)).astype(np.float32)
        wide = {name: value.astype(np.float64) for name, value in weights.items()}
        clamped[:] = 0, 0
        gap = layer_again(wide, layer, x.astype(np.float64))[1]
        return (weights, x) if gap >= MARGIN and (min(clamped) > 5 or case != "gpt-oss") else None

    seed, (weights, x) = first_seed_with(accept)
    tensors = with_prefix("weights", weights) | {"inputs/x": x, "outputs/y": original(fmoe, case, weights, x)}
    if mask:
        tensors["inputs/mask"] = mask_of(layer)
    packages = {"mixtral": ["transformers"], "qwen2-moe": ["transformers"], "gpt-oss": ["transformers"], "st-moe": ["st-moe-pytorch"]}.get(case, ["fastmoe"])
    about = metadata(DESCRIPTIONS[case], packages, model="soft-moe", overrides=overrides, seed=seed, sizes={"batch": BATCH, "tokens": TOKENS})

    def check(stored):
        wide = {name: value.astype(np.float64) for name, value in golden_file.group(stored, "weights").items()}
        return f"y {assert_close('y', stored['outputs/y'], layer_again(wide, layer, stored['inputs/x'].astype(np.float64))[0], 'f32'):.1e}"

    return tensors, about, check


def cases(fmoe):
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for case in DESCRIPTIONS:
        yield f"experts.{case}", lambda case=case: case_of(fmoe, case)
