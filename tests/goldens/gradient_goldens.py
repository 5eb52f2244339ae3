"""The goldens of gradients of the zoo's models: their cases, numbers and originals, and their losses again in NumPy and float64."""
import contextlib

import numpy as np
import torch

import blending_goldens
import blending_models
import gradients
import injected
import language_goldens
import language_models
import lucidrains_goldens
import lucidrains_package
import made_numbers
import numpy_check
import originals
import transformer_goldens
import transformer_models
from golden_case import merge_patch, vit_feed_forward, vit_size, zoo_model

BALANCE, COEFFICIENT = 0.1, 0.03  # of losses, far from nothing in the gradient, where the zoo has none or a small one


def typed(arrays, dtype):
    return {name: value.astype(made_numbers.NUMPY[dtype]) if value.dtype.kind == "f" else value for name, value in arrays.items()}


def with_dtype(overrides, name, dtype):
    return overrides | ({"dtype": dtype} if dtype != zoo_model(name, {}).get("dtype", "f32") else {})


# --- ViT: an image of 3 x 5 patches, so that a class token makes 16 tokens ---

VIT_IMAGE, VIT_DIM, VIT_BATCH = (3, 12, 20), 12, 4


def vit_overrides(name, more):
    model = zoo_model(name, {"let": {"dim": VIT_DIM}})
    attention, mlp = model["model"][3]["body"]
    attention["body"][1] |= {"heads": 2, "head_dim": 5}
    if mlp["body"][1]["kind"] == "mlp":
        mlp["body"][1]["hidden"] = 14
    model["model"][2]["length"] = 16
    overrides = {"inputs": {"image": {"shape": ["batch", *VIT_IMAGE]}}, "let": model["let"], "model": model["model"]}
    return overrides | ({"blocks": {"feed_forward": {"experts": {"hidden": 14}} | more}} if name == "vit-moe" else {})


class Vit:
    """vit or vit-moe in training."""

    def __init__(self, fmoe, name, dtype, more, batch=VIT_BATCH):
        self.fmoe, self.name, self.dtype, self.batch = fmoe, name, dtype, batch
        self.overrides = with_dtype(vit_overrides(name, more), name, dtype)
        model = zoo_model(name, self.overrides)
        self.size, self.feed_forward = vit_size(model), vit_feed_forward(model)
        self.coefficient = self.feed_forward["gate"]["balance_loss"] if name == "vit-moe" else 0.0
        self.sizes, self.packages = {"batch": batch}, ["fastmoe"] if name == "vit-moe" else []

    def inputs(self, rng):
        shape = (self.batch, self.size["channels"], *self.size["image"])
        return typed({"image": rng.uniform(-1.0, 1.0, shape), "label": rng.integers(0, self.size["classes"], self.batch)}, self.dtype)

    def numbers(self, rng):
        weights, image, draws = made_numbers.vit_numbers(rng, self.size, self.feed_forward, self.batch, self.dtype)
        return weights, {"image": image, "label": rng.integers(0, self.size["classes"], self.batch)}, typed(draws, self.dtype)

    def recompute(self, weights, inputs, draws):
        scores, routing = numpy_check.vit(weights, inputs["image"], draws, self.size, self.feed_forward, "train")
        drops = all(row[4] for row in routing.values())
        aux = {f"{path}.gate.balance_loss": (self.coefficient, row[2]) for path, row in routing.items()} if self.coefficient else {}
        margin = min((row[3] for row in routing.values()), default=np.inf)
        return numpy_check.cross_entropy(scores, inputs["label"]), aux, margin if drops else 0.0

    def build(self, weights):
        """(model, its Placement)."""
        model = originals.build_vit(self.fmoe, self.size, self.feed_forward, self.dtype, []).train()
        return model, originals.placed(model, weights)

    def losses(self, model, given, draws):
        return originals.vit_losses(model, given["image"], given["label"], map(torch.from_numpy, draws.values()), self.coefficient)


SWITCH = {"kind": "switch", "top_k": None, "random_routing": None, "capacity": {"train": 1.2, "eval": 2.4}, "rounding": "up", "bias": True,
          "jitter": 0.1, "jitter_on": "logits", "balance_loss": BALANCE, "balance_of": "kept"}
VIT_CASES = [  # model, case, changes of the feed-forward, dtypes, description
    ("vit", "", {}, ("f32", "f64"), "the dense ViT"),
    ("vit-moe", "", {"gate": {"balance_loss": BALANCE}}, ("f32", "f64"), "FastMoE's GShard gate in training with its loss: capacity drops, and so does random routing"),
    ("vit-moe", "switch-", {"gate": SWITCH}, ("f32",), "FastMoE's SwitchGate in training with its loss, of the kept tokens, and its jitter"),
]


# --- language models ---

class Language:
    """A language model in training."""
    packages = []

    def __init__(self, name, dtype, let, noise={}):
        self.name, self.dtype, self.noise = name, dtype, noise
        self.overrides = gradients.noisy(name, with_dtype({"let": let}, name, dtype), noise)
        model = zoo_model(name, self.overrides)
        self.size, self.mixture = model["let"], language_goldens.resolved(model["blocks"]["mixture"], model["let"])
        self.deep_head, self.gate = any(block["kind"] == "dropout" for block in model["model"]), self.mixture["gate"]
        self.sizes = {"batch": language_goldens.BATCH, "sequence": language_goldens.SEQUENCE}

    def inputs(self, rng):
        tokens = rng.integers(0, self.size["vocabulary"], (language_goldens.BATCH, language_goldens.SEQUENCE))
        return {"tokens": tokens, "targets": np.roll(tokens, -1, axis=1)}

    def numbers(self, rng):
        shapes = language_goldens.shapes_of(self.size, self.mixture, self.deep_head)
        weights = {key: made_numbers.parameter(rng, key, shape, self.dtype) for key, shape in shapes.items()}
        inputs = self.inputs(rng)
        draws = {name: made_numbers.uniform(rng, int(np.prod(shape))).reshape(shape) for name, shape in self.draws().items()}
        return weights, inputs, typed(draws, self.dtype)

    def draws(self):
        """{path: shape}, in the order in which PyTorch asks for them."""
        shapes, size, tokens = {}, self.size, (language_goldens.BATCH, language_goldens.SEQUENCE)
        wide = (*tokens, size["embedding"])
        if "dropout" in self.noise:
            for i in range(size["layers"]):
                shapes |= {f"layers.{i}.attention.dropout": (tokens[0], size["heads"], tokens[1], tokens[1]), f"layers.{i}.dropout": wide,
                           f"layers.{i}.mlp.up.dropout": (*tokens, size["hidden"]), f"layers.{i}.dropout_2": wide}
            shapes |= {"dropout": (*tokens, self.mixture["experts"].get("out"))} if self.deep_head else {}
        if "jitter" in self.noise:
            shapes["moe.gate.jitter"] = (tokens[0] * tokens[1], size["embedding"])
        return shapes | ({"moe.gate.expert": (1, size["experts"])} if self.gate["kind"] == "random_expert" else {})

    def recompute(self, weights, inputs, draws):
        scores, (_, _, margin, dropped, balance) = language_goldens.recompute(
            weights, inputs["tokens"], draws, self.size, self.mixture, self.deep_head, "train", self.noise.get("dropout", 0.0))
        aux = {"moe.gate.balance_loss": (self.gate["balance_loss"], balance)} if self.gate["kind"] == "switch" else {}
        return numpy_check.cross_entropy(scores, inputs["targets"]), aux, margin if dropped or not aux else 0.0

    def build(self, weights):
        """(model, its Placement)."""
        model, placement = language_models.build(self.size, self.mixture, self.deep_head, weights, dropout=self.noise.get("dropout", 0.0))
        return model.train(), placement

    def losses(self, model, given, draws):
        of_gate = [torch.from_numpy(draw) for name, draw in draws.items() if name.startswith("moe.gate.")]
        dropped = [torch.from_numpy(draw) for name, draw in draws.items() if "dropout" in name]
        with injected.dropout(dropped) if dropped else contextlib.nullcontext():
            return language_models.losses(model, given["tokens"], given["targets"], *(of_gate or [None]))


def model_case(model, description):
    """The gradients of a model that build() gives as a module."""
    def run(weights, inputs, draws):
        (module, placement), given = model.build(weights), gradients.leaves(inputs)
        losses = gradients.differentiated(*model.losses(module, given, draws))
        return losses, placement.gradients(), gradients.gathered(given)

    return gradients.golden(model.name, model.overrides, model.dtype, model.sizes, model.packages, description, model.numbers, run, model.recompute)


LANGUAGE_CASES = [  # model, case, changes of "let", noise, dtypes, description
    ("switch-lm", "", language_goldens.SMALL, {}, ("f32", "f64"), "the paper's Switch with its capacity in training, which drops tokens, and its loss"),
    ("gating-lm", "", language_goldens.NARROW, {}, ("f32", "f64"), "every expert, weighted; the deep head"),
    ("random-lm", "", language_goldens.NARROW, {}, ("f32", "f64"), "one expert for the whole call; the others' gradients are 0"),
    ("blended-lm", "", language_goldens.NARROW, {}, ("f32", "f64"), "every expert, of one layer, weighted"),
    ("switch-lm-blog", "", language_goldens.BLOG, {}, ("f32", "f64"), "as blended-lm, with attention over the batch and no positions"),
    ("gating-lm-blog", "", language_goldens.BLOG, {}, ("f32", "f64"), "as gating-lm, with attention over the batch and no positions"),
    ("switch-lm", "jitter-", language_goldens.SMALL, {"jitter": 0.1}, ("f32", "f64"), "the gate's input multiplied by draws"),
    ("gating-lm", "dropout-", language_goldens.NARROW, {"dropout": 0.2}, ("f32", "f64"), "dropout by given draws, of attention's weights too"),
]


# --- lucidrains: numbers of tokens that are powers of 2, so that its f32 shares are exact in a model of f64 ---

def lucidrains_case(name, dtype, let, size, description):
    overrides = with_dtype({"let": let}, name, dtype)
    model = zoo_model(name, overrides)
    gate = dict(model["blocks"]["mixture"]["gate"]) | ({"outer": let["outer"]} if "outer" in let else {})
    paths = ["moe.gate.outer", "moe.gate.inner"] if "outer" in let else ["moe.gate"]

    def numbers(rng):
        weights = {key: lucidrains_goldens.numbers(rng, key, shape, dtype) for key, shape in lucidrains_goldens.shapes_of(model).items()}
        inputs = {key: scale * rng.standard_normal((*size, let["dim"])) for key, scale in (("x", 0.4), ("target", 1.0))}
        draws = {f"{path}.policy": made_numbers.uniform(rng, size[0] * size[1] * (1 + number)) for number, path in enumerate(paths)}
        return weights, typed(inputs, dtype), typed(draws, dtype)

    def recompute(weights, inputs, draws):
        y, _, margin, over, seen, balance = lucidrains_goldens.recompute(gate, weights, inputs["x"], draws, "train")
        if not over[0] or (len(paths) == 2 and seen != {0.5, 1.0}):
            margin = 0.0  # a case without drops, or without both importances, is no case
        aux = {f"{path}.balance_loss": (gate["balance_loss"], loss) for path, loss in zip(paths, balance)}
        return ((y - inputs["target"]) ** 2).mean(), aux, margin

    def run(weights, inputs, draws):
        built, given = lucidrains_package.build(gate, weights), gradients.leaves(inputs)
        _, routings, *_ = lucidrains_goldens.recompute(gate, weights, inputs["x"], draws, "train")
        ordered = lucidrains_package.ordered_draws(gate, draws, size, lambda draws: lucidrains_goldens.in_slots(gate, routings, draws, size, "train"))
        losses = lucidrains_package.losses(built, gate, given["x"], given["target"], ordered)
        return gradients.differentiated(*losses), built[1].gradients(), gradients.gathered(given)

    return gradients.golden(name, overrides, dtype, {"batch": size[0], "tokens": size[1]}, ["lucidrains"], description, numbers, run, recompute)


LUCIDRAINS_CASES = [  # model, changes of "let", dtypes, (rows of the batch, tokens), description
    ("lucidrains-moe", lucidrains_goldens.FLAT, ("f32", "f64"), (3, 32), "the flat layer in training: capacity drops rows, second choices stay at random"),
    ("hierarchical", {"dim": 10, "hidden": 14, "outer": 5, "inner": 3}, ("f32", "f64"), (2, 32), "two levels in training, with rows dropped"),
    ("hierarchical-1b", {"dim": 10, "hidden": 14, "outer": 5, "inner": 2}, ("f32", "f64"), (1, 32), "as hierarchical, fewer experts and one row of the batch"),
    ("custom-experts", {"dim": 6, "experts": 4}, ("f32", "f64"), (2, 16), "experts of three matrices of unscaled normals"),
    ("custom-experts-hierarchical", {"dim": 6, "outer": 5, "inner": 2}, ("f32", "f64"), (2, 32), "the same in two levels"),
]


# --- experts that all run, and models that blend ---

def experts_case(dtype, description):
    name, widths, batch = "batched-experts", [28, 24, 28, 20], 16
    first = merge_patch(zoo_model(name, {})["model"][0], {"experts": {"widths": widths}})
    overrides = with_dtype({"model": [first, *zoo_model(name, {})["model"][1:]]}, name, dtype)
    size = {"in": zoo_model(name, {})["inputs"]["x"]["shape"][1], "count": first["experts"]["count"], "widths": widths}

    def numbers(rng):
        return made_numbers.orthogonal_experts(rng, size, dtype), made_numbers.expert_inputs(rng, size, batch, dtype), {}

    def recompute(weights, inputs, draws):
        return numpy_check.batched_experts(weights, inputs)[2], {}, np.inf

    def run(weights, inputs, draws):
        parameters, given = gradients.leaves(weights), gradients.leaves(inputs)
        loss = originals.batched_experts(parameters, given)[1]
        return gradients.differentiated(loss, {}), gradients.gathered(parameters), gradients.gathered(given)

    return gradients.golden(name, overrides, dtype, {"batch": batch}, [], description, numbers, run, recompute)


def mann_case(dtype, description, is_product=False):
    name, batch, count = "mann", blending_goldens.BATCH["mann"], blending_goldens.MANN_SIZE["experts"]
    overrides = with_dtype({"let": blending_goldens.MANN_SIZE}, name, dtype)
    model = zoo_model(name, overrides)
    overrides |= blending_goldens.in_products(model) if is_product else {}
    joined = blending_goldens.in_one_product if is_product else lambda weights: weights
    apart = (lambda weights: blending_goldens.apart(weights, count)) if is_product else lambda weights: weights
    widths = {key: value["shape"][-1] for key, value in model["inputs"].items()}
    shapes = blending_goldens.mann_shapes(widths, model["let"], widths["target"])

    def numbers(rng):
        weights = {key: made_numbers.parameter(rng, key, shape, dtype) for key, shape in shapes.items()}
        return joined(weights), typed({key: rng.standard_normal((batch, width)) for key, width in widths.items()}, dtype), {}

    def recompute(weights, inputs, draws):
        y = blending_goldens.recompute_mann(apart(weights), inputs["x"], inputs["x"])["y"]
        return ((y - inputs["target"]) ** 2).mean(), {}, np.inf

    def run(weights, inputs, draws):
        parameters, given = gradients.leaves(apart(weights)), gradients.leaves(inputs)
        loss = torch.nn.functional.mse_loss(blending_models.mann(parameters, given["x"], given["x"])[0], given["target"])
        return gradients.differentiated(loss, {}), joined(gradients.gathered(parameters)), gradients.gathered(given)

    return gradients.golden(name, overrides, dtype, {"batch": batch}, [], description, numbers, run, recompute)


def soft_case(dtype, first_version, description):
    name, batch, tokens = "soft-moe", blending_goldens.BATCH["soft-moe"], 9
    overrides = with_dtype(blending_goldens.soft_overrides(first_version), name, dtype)

    def numbers(rng):
        weights = {key: made_numbers.parameter(rng, key, shape, dtype) for key, shape in blending_goldens.soft_shapes(first_version).items()}
        inputs = {key: rng.standard_normal((batch, tokens, blending_goldens.WIDTH)) for key in ("x", "target")}
        return weights, typed(inputs | ({} if first_version else {"mask": blending_goldens.soft_mask(batch, tokens)}), dtype), {}

    def recompute(weights, inputs, draws):
        y = blending_goldens.recompute_soft_moe(weights, inputs["x"], inputs.get("mask"))
        return ((y - inputs["target"]) ** 2).mean(), {}, np.inf

    def run(weights, inputs, draws):
        model, placement = blending_models.build_soft_moe(weights, blending_goldens.WIDTH, blending_goldens.SOFT_SIZE["slots"], first_version)
        given = gradients.leaves(inputs)
        y = model.train()(given["x"], None if first_version else given["mask"] > 0)
        loss = torch.nn.functional.mse_loss(y, given["target"])
        return gradients.differentiated(loss, {}), placement.gradients(), gradients.gathered(given)

    return gradients.golden(name, overrides, dtype, {"batch": batch, "tokens": tokens}, [], description, numbers, run, recompute)


# --- transformers ---

def hf_case(let, noise, description):
    name, sizes = "hf-switch", {"batch": 3, "source": 9, "target": 7}
    overrides = gradients.noisy(name, {"let": transformer_goldens.SMALL | let | {"router_coefficient": COEFFICIENT}}, noise)
    size = zoo_model(name, overrides)["let"]
    gate = language_goldens.resolved(zoo_model(name, overrides)["blocks"]["sparse"]["body"]["body"][1]["gate"] | {"loss_pool": None}, size)

    paths = {f"{path}.sparse.moe": sizes["source" if stack == "encoder" else "target"]
             for (stack, _), (path, is_sparse) in transformer_models.layer_paths(size).items() if is_sparse}

    def numbers(rng):
        weights = {key: made_numbers.parameter(rng, key, shape, "f32") for key, shape in transformer_goldens.switch_shapes(size).items()}
        ids, targets = (rng.integers(0, size["vocabulary"], (sizes["batch"], sizes[part])) for part in ("source", "target"))
        draws = {f"{path}.gate.jitter": made_numbers.uniform(rng, sizes["batch"] * tokens * size["dim"]).reshape(-1, size["dim"])
                 for path, tokens in paths.items()} if noise else {}
        return weights, {"ids": ids, "targets": targets}, draws

    def recompute(weights, inputs, draws):
        factors = {path: 1.0 - gate["jitter"] + 2.0 * gate["jitter"] * draws[path + ".gate.jitter"].reshape(sizes["batch"], tokens, -1)
                   for path, tokens in paths.items()} if noise else {}
        scores, routing = transformer_goldens.recompute_switch(weights, inputs["ids"], inputs["targets"], size, factors)
        dropped = all(row[3] for row in routing.values())
        aux = transformer_goldens.router_losses({path: row[4] for path, row in routing.items()}, gate)
        return numpy_check.cross_entropy(scores, inputs["targets"]), aux, min(row[2] for row in routing.values()) if dropped else 0.0

    def run(weights, inputs, draws):
        coefficients = {"router_aux_loss_coef": gate["balance_loss"], "router_z_loss_coef": gate["z_loss"]}
        built = transformer_models.build_switch(size, weights, dropout_rate=0.0, router_jitter_noise=gate["jitter"], **coefficients)
        given = [torch.from_numpy(draws[path + ".gate.jitter"]).reshape(sizes["batch"], tokens, -1) for path, tokens in paths.items()] if noise else []
        with injected.uniform(given):
            losses = transformer_models.losses(built, torch.from_numpy(inputs["ids"]), torch.from_numpy(inputs["targets"]))
        return gradients.differentiated(*losses), built[1].gradients(), {}

    return gradients.golden(name, overrides, "f32", sizes, ["transformers"], description, numbers, run, recompute)


HF_CASES = [  # case, changes of "let", noise, description
    ("jitter-", {"expert_capacity": 3}, {"jitter": 0.1}, "as the other, with the jitter, which experts see too"),
    ("layers-", {"expert_capacity": 3, "dim": 8, "hidden": 10, "head_dim": 4, "vocabulary": 19, "encoder_layers": 3, "decoder_layers": 2}, {},
     "three sparse layers of the encoder and two of the decoder, whose losses are of all of a stack"),
    ("", {"expert_capacity": 3}, {}, "one sparse layer of the encoder and one of the decoder, with a capacity that drops tokens"),
]


def cases(fmoe):
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for name, case, more, dtypes, description in VIT_CASES:
        for dtype in dtypes:
            yield f"{name}.gradients.{case}{dtype}", lambda a=(name, dtype, more), d=description: model_case(Vit(fmoe, *a), d)
    for name, case, let, noise, dtypes, description in LANGUAGE_CASES:
        for dtype in dtypes:
            yield f"{name}.gradients.{case}{dtype}", lambda a=(name, dtype, let, noise), d=description: model_case(Language(*a), d)
    for name, let, dtypes, size, description in LUCIDRAINS_CASES:
        for dtype in dtypes:
            yield f"{name}.gradients.{dtype}", lambda a=(name, dtype, let, size, description): lucidrains_case(*a)
    for dtype in ("f32", "f64"):
        yield f"batched-experts.gradients.{dtype}", lambda dtype=dtype: experts_case(dtype, "every expert run by itself")
        yield f"mann.gradients.{dtype}", lambda dtype=dtype: mann_case(dtype, "parameters mixed for each sample")
        yield f"mann.gradients.one-product-{dtype}", lambda dtype=dtype: mann_case(dtype, "each blended layer one product", True)
        yield f"soft-moe.gradients.{dtype}", lambda dtype=dtype: soft_case(dtype, True, "the first version's experts")
    yield "soft-moe.gradients.newest-f32", lambda: soft_case("f32", False, "the newest version's experts; a mask")
    for case, let, noise, description in HF_CASES:
        yield f"hf-switch.gradients.{case}f32", lambda a=(let, noise, description): hf_case(*a)
