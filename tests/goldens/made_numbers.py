"""Every number that the goldens start from: weights, inputs and draws, each from a seed.

Weights are far from their usual initial values (norm weights not 1, biases not 0), so that a parameter left out shows.
"""
import numpy as np

NUMPY = {"f32": np.float32, "f64": np.float64}


def vit_shapes(size, feed_forward):
    """{parameter name: shape} of vit, or of vit-moe where the feed-forward is a MoE."""
    dim, inner = size["dim"], size["heads"] * size["head_dim"]
    patch, tokens = size["channels"] * size["patch"] ** 2, (size["image"][0] // size["patch"]) * (size["image"][1] // size["patch"])
    shapes = {"patch_embedding.norm_in.weight": (patch,), "patch_embedding.norm_in.bias": (patch,),
              "patch_embedding.projection.weight": (dim, patch), "patch_embedding.projection.bias": (dim,),
              "patch_embedding.norm_out.weight": (dim,), "patch_embedding.norm_out.bias": (dim,),
              "class_token.weight": (dim,), "position_embedding.weight": (1 + tokens, dim),
              "layer_norm.weight": (dim,), "layer_norm.bias": (dim,),
              "scores.weight": (size["classes"], dim), "scores.bias": (size["classes"],)}
    layer = {"layer_norm.weight": (dim,), "layer_norm.bias": (dim,), "attention.qkv.weight": (3 * inner, dim),
             "attention.out.weight": (dim, inner), "attention.out.bias": (dim,),
             "layer_norm_2.weight": (dim,), "layer_norm_2.bias": (dim,)}
    if feed_forward["kind"] == "moe":
        count, hidden = feed_forward["experts"]["count"], feed_forward["experts"]["hidden"]
        layer |= {"moe.gate.weight": (count, dim), "moe.gate.bias": (count,),
                  "moe.experts.up.weight": (count, hidden, dim), "moe.experts.up.bias": (count, hidden),
                  "moe.experts.down.weight": (count, dim, hidden), "moe.experts.down.bias": (count, dim)}
    else:
        hidden = feed_forward["hidden"]
        layer |= {"mlp.up.weight": (hidden, dim), "mlp.up.bias": (hidden,),
                  "mlp.down.weight": (dim, hidden), "mlp.down.bias": (dim,)}
    for i in range(size["depth"]):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in layer.items()}
    return shapes


def parameter(rng, name, shape, dtype):
    """Norms 1 +- 0.3, biases 0.2, embeddings 1, other matrices as their input's width asks, gates twice as wide."""
    value = rng.standard_normal(shape)
    if "norm" in name:
        value = 0.3 * value + (1.0 if name.endswith("weight") else 0.0)
    elif name.endswith("bias"):
        value = 0.2 * value
    elif name.split(".")[0] not in ("class_token", "position_embedding", "embedding"):
        value = value * shape[-1] ** -0.5 * (2.0 if ".gate." in name else 1.0)
    return value.astype(NUMPY[dtype])


def vit_numbers(rng, size, feed_forward, batch, dtype):
    """(weights, image (B, C, H, W), draws {path: (T)})."""
    weights = {name: parameter(rng, name, shape, dtype) for name, shape in vit_shapes(size, feed_forward).items()}
    image = rng.uniform(-1.0, 1.0, (batch, size["channels"], *size["image"])).astype(NUMPY[dtype])
    draws, gate = {}, feed_forward.get("gate", {})
    tokens = batch * len(weights["position_embedding.weight"])
    if gate.get("random_routing"):
        draws = {f"layers.{i}.moe.gate.random_routing": uniform(rng, tokens) for i in range(size["depth"])}
    if gate.get("jitter"):
        count = feed_forward["experts"]["count"]
        draws = {f"layers.{i}.moe.gate.jitter": uniform(rng, tokens * count).reshape(tokens, count) for i in range(size["depth"])}
    return weights, image, draws


def uniform(rng, count):
    """float32 in [0, 1), in steps of 2^-24 as torch.rand draws."""
    return (rng.integers(0, 1 << 24, count) * 2.0 ** -24).astype(np.float32)


def expert_inputs(rng, size, batch, dtype):
    blend = rng.standard_normal(size["count"])
    inputs = {"x": rng.standard_normal((batch, size["in"])), "blend": np.exp(blend) / np.exp(blend).sum(),
              "target": 0.5 * rng.standard_normal((batch, size["widths"][-1]))}
    return {name: value.astype(NUMPY[dtype]) for name, value in inputs.items()}


def orthogonal_experts(rng, size, dtype):
    """Per expert an orthogonal weight (rows or columns orthonormal, times sqrt 2 before a ReLU) and a small bias."""
    weights, width = {}, size["in"]
    for i, out in enumerate(size["widths"]):
        gain = 1.0 if i == len(size["widths"]) - 1 else 2.0 ** 0.5
        stack = [np.linalg.qr(rng.standard_normal((max(out, width), min(out, width))))[0] for _ in range(size["count"])]
        stack = gain * np.stack([q if q.shape == (out, width) else q.T for q in stack])
        weights[f"experts.layers.{i}.weight"] = stack.astype(NUMPY[dtype])
        weights[f"experts.layers.{i}.bias"] = (0.2 * rng.standard_normal((size["count"], out))).astype(NUMPY[dtype])
        width = out
    return weights


def philox_experts(size, seed, dtype):
    """Weights that a test makes again instead of reading: PHILOX_RULE, from moec's generator."""
    weights, width = {}, size["in"]
    for i, out in enumerate(size["widths"]):
        for part, shape in (("weight", (size["count"], out, width)), ("bias", (size["count"], out))):
            name = f"experts.layers.{i}.{part}"
            uniform01 = philox_uniform(seed, name, int(np.prod(shape)))
            weights[name] = (0.125 * (2.0 * uniform01 - 1.0)).reshape(shape).astype(NUMPY[dtype])
        width = out
    return weights


PHILOX_RULE = "weight[i] = 0.125 * (2 * uniformFloat(draw(seed, streamOf(name), 0, i)) - 1), i row-major; exact in f32 and f64"


def philox_uniform(seed, name, count):
    """24 bits of word 0 of Philox 4x32-10 (Salmon et al., SC'11), key = seed, counter = {i, 0, FNV-1a of the name, 0}."""
    stream = 2166136261
    for byte in name.encode():
        stream = (stream ^ byte) * 16777619 & 0xFFFFFFFF
    zero = np.zeros(count, np.uint64)
    return (philox([np.arange(count, dtype=np.uint64), zero, zero + np.uint64(stream), zero], seed)[0] >> 8) * 2.0 ** -24


def philox(counter, key):
    low, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * counter[0], np.uint64(0xCD9E8D57) * counter[2]
        counter = [(p1 >> low) ^ counter[1] ^ np.uint64(k0), p1 & mask, (p0 >> low) ^ counter[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return counter


def gate_logits(rng, tokens, experts, skew, step=None):
    """(T, E) float32; expert 1 is preferred by `skew`; with `step` the values are multiples of it, so that many are equal."""
    logits = 1.5 * rng.standard_normal((tokens, experts))
    logits[:, 1] += skew
    return (np.round(logits / step) * step if step else logits).astype(np.float32)


def assert_philox_known_answers():
    """Two of Random123's known answers for philox4x32-10."""
    for counter, key, answer in ((0, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
                                 (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD])):
        assert [int(word[0]) for word in philox([np.array([counter], np.uint64)] * 4, key)] == answer
