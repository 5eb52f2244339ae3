"""The same models a second time, in NumPy and float64, from the tensors of a golden file alone: no PyTorch, no FastMoE.

Each gate also reports its margin: how far the closest decision (an expert's rank, a draw) is from falling the other way.
"""
import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


def softmax(x):
    exponential = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponential / exponential.sum(axis=-1, keepdims=True)


def gelu(x):
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


nearest_kink = [math.inf]  # how close ReLUs' inputs came to 0, as parts of their largest, since this was set


def relu(x, slope=0.0):
    if x.size:
        nearest_kink[0] = min(nearest_kink[0], np.abs(x).min() / np.abs(x).max())
    return np.where(x > 0, x, slope * x)


def linear(x, weight, bias=0.0):  # weight (out, in)
    return x @ weight.T + bias


def layer_norm(x, weights, name):
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = 1.0 / np.sqrt((centred ** 2).mean(axis=-1, keepdims=True) + 1e-5)
    return centred * scale * weights[name + ".weight"] + weights[name + ".bias"]


def choose(logits, k):
    """The k best experts (T, K), best first, lowest index first among equals, their softmax (T, K), and the smallest gap."""
    indices = np.array([sorted(range(logits.shape[1]), key=lambda e: (-row[e], e))[:k] for row in logits])
    ordered = -np.sort(-logits, axis=1)[:, :k + 1]
    gap = (ordered[:, :-1] - ordered[:, 1:]).min() if ordered.shape[1] > 1 else math.inf
    return indices, softmax(np.take_along_axis(logits, indices, axis=1)), gap


def cross_entropy(scores, labels):
    """Of scores (.., V) and labels (..), the mean."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return (np.log(np.exp(shifted).sum(axis=-1)) - np.take_along_axis(shifted, labels[..., None], axis=-1)[..., 0]).mean()


def capacity_of(gate, tokens, experts, mode):
    if gate["kind"] == "switch":
        share = gate["capacity"][mode] * tokens / experts
        return max(math.ceil(share) if gate.get("rounding") == "up" else int(share), gate.get("least_capacity", 1))
    return math.ceil(gate["capacity"][mode] * tokens) * gate["top_k"] // experts


def gate_of(gate, logits, draws, mode):
    """(indices, weights, loss, margin, rows dropped by capacity) of a gate's JSON for logits (T, E)."""
    tokens, experts = logits.shape
    if gate["kind"] == "switch":
        return switch_gate(gate, logits, mode)
    indices, weights, margin = choose(logits, gate["top_k"])
    if gate["kind"] == "top_k":
        return indices, weights, 0.0, margin, 0
    first = np.bincount(indices[:, 0], minlength=experts) / tokens
    loss = (first * softmax(logits).mean(axis=0)).mean() * experts ** 2
    taken, capacity = [0] * experts, capacity_of(gate, tokens, experts, mode)
    for t in range(tokens):
        for k in range(gate["top_k"]):
            expert = indices[t, k]
            taken[expert] += 1
            if taken[expert] > capacity:
                indices[t, k] = -1
    dropped = int((indices < 0).sum())
    if gate["random_routing"]:
        indices[2 * weights[:, 1] < draws, 1] = -1
        margin = min(margin, np.abs(2 * weights[:, 1] - draws).min())
    return indices, weights, loss, margin, dropped


def switch_gate(gate, logits, mode):
    """As gate_of; the loss, FastMoE's, has shares of the tokens that were kept, and sums of probabilities over their count."""
    tokens, experts = logits.shape
    indices, _, margin = choose(logits, 1)
    probabilities = softmax(logits)
    weights = np.take_along_axis(probabilities, indices, axis=1)
    capacity = capacity_of(gate, tokens, experts, mode)
    for expert in range(experts):
        indices[np.flatnonzero(indices[:, 0] == expert)[capacity:]] = -1
    kept = indices[indices >= 0]
    loss = (np.bincount(kept, minlength=experts) / len(kept) * probabilities.sum(axis=0) / len(kept)).sum() * experts
    return indices, weights, loss, margin, int((indices < 0).sum())


def dropped(x, draws, name, p):
    """x with the dropout that draws has under the name."""
    return x * (draws[name] >= p) / (1.0 - p) if name in draws else x


def attention(x, weights, name, heads, causal=False, draws={}, p=0.0):
    batch, tokens, _ = x.shape
    q, k, v = np.split(linear(x, weights[name + ".qkv.weight"], weights.get(name + ".qkv.bias", 0.0)), 3, axis=-1)
    hidden = np.triu(np.full((tokens, tokens), -np.inf), 1) if causal else 0.0
    merged = np.empty_like(q)
    width = q.shape[-1] // heads
    for b in range(batch):
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = softmax(q[b][:, part] @ k[b][:, part].T / math.sqrt(width) + hidden)
            scores = dropped(scores, {key: draw[b, h] for key, draw in draws.items() if key == name + ".dropout"}, name + ".dropout", p)
            merged[b][:, part] = scores @ v[b][:, part]
    return linear(merged, weights[name + ".out.weight"], weights[name + ".out.bias"])


def moe(x, weights, name, gate, draws, mode):
    rows = x.reshape(-1, x.shape[-1])
    logits = linear(rows, weights[name + ".gate.weight"], weights[name + ".gate.bias"])
    if gate.get("jitter") and mode == "train":  # of FastMoE's SwitchGate
        logits = logits + 1.0 - gate["jitter"] + 2.0 * gate["jitter"] * draws
    routing = gate_of(gate, logits, draws, mode)
    expert = {part: weights[f"{name}.experts.{part}"] for part in ("up.weight", "up.bias", "down.weight", "down.bias")}
    result = np.zeros_like(rows)
    for t, row in enumerate(rows):
        for e, weight in zip(routing[0][t], routing[1][t]):
            if e >= 0:
                hidden = gelu(linear(row, expert["up.weight"][e], expert["up.bias"][e]))
                result[t] += weight * linear(hidden, expert["down.weight"][e], expert["down.bias"][e])
    return result.reshape(x.shape), routing


def patches_of(image, patch):
    """(B, C, H, W) -> (B, tokens, P*P*C): tokens row by row, inside a patch row, column, channel."""
    batch, _, height, width = image.shape
    pixels = image.transpose(0, 2, 3, 1)
    return np.stack([pixels[:, i:i + patch, j:j + patch].reshape(batch, -1)
                     for i in range(0, height, patch) for j in range(0, width, patch)], axis=1)


def vit(weights, image, draws, size, feed_forward, mode="eval"):
    """(scores, {layer path: gate_of's result}); `draws` {path: (T)} may be empty where the gate draws nothing."""
    routing = {}
    x = linear(layer_norm(patches_of(image, size["patch"]), weights, "patch_embedding.norm_in"),
               weights["patch_embedding.projection.weight"], weights["patch_embedding.projection.bias"])
    x = layer_norm(x, weights, "patch_embedding.norm_out")
    token = np.broadcast_to(weights["class_token.weight"], (len(x), 1, x.shape[-1]))
    x = np.concatenate([token, x], axis=1) + weights["position_embedding.weight"]
    for i in range(size["depth"]):
        path = f"layers.{i}"
        x = x + attention(layer_norm(x, weights, path + ".layer_norm"), weights, path + ".attention", size["heads"])
        inner = layer_norm(x, weights, path + ".layer_norm_2")
        if feed_forward["kind"] == "moe":
            name = path + ".moe"
            update, routing[name] = moe(inner, weights, name, feed_forward["gate"], draws.get(name + ".gate.random_routing", draws.get(name + ".gate.jitter")), mode)
        else:
            hidden = gelu(linear(inner, weights[path + ".mlp.up.weight"], weights[path + ".mlp.up.bias"]))
            update = linear(hidden, weights[path + ".mlp.down.weight"], weights[path + ".mlp.down.bias"])
        x = x + update
    head = layer_norm(x[:, 0], weights, "layer_norm")
    return linear(head, weights["scores.weight"], weights["scores.bias"]), routing


def batched_experts(weights, inputs):
    """Outputs, gradients of the mean squared error by parameter, and that error; all experts at once, (E, T, D)."""
    depth, x, blend = len(weights) // 2, inputs["x"], inputs["blend"]
    values = [np.broadcast_to(x, (len(blend), *x.shape))]
    for i in range(depth):
        weight, bias = weights[f"experts.layers.{i}.weight"], weights[f"experts.layers.{i}.bias"]
        value = values[-1] @ weight.transpose(0, 2, 1) + bias[:, None]
        values.append(np.tanh(value) if i == depth - 1 else relu(value))
    experts = values[-1]
    y = (blend[:, None, None] * experts).sum(axis=0)
    error = y - inputs["target"]
    gradients, upstream = {}, blend[:, None, None] * (2.0 * error / error.size) * (1.0 - experts ** 2)
    for i in reversed(range(depth)):
        gradients[f"experts.layers.{i}.bias"] = upstream.sum(axis=1)
        gradients[f"experts.layers.{i}.weight"] = upstream.transpose(0, 2, 1) @ values[i]
        upstream = (upstream @ weights[f"experts.layers.{i}.weight"]) * (values[i] > 0)
    return {"experts": experts, "spread": experts.var(axis=0, ddof=1), "y": y}, gradients, (error ** 2).mean()
