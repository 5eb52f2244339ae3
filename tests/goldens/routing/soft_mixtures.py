"""Mixtures that choose nobody: Soft MoE of soft-moe-pytorch, bwconrad, zhaozijie2022 and the paper (soft_moe_models.py), and layers whose parameters are mixed for
each sample, of character-motion-vaes.
"""
import numpy as np
import torch
from torch import nn
from torch.func import functional_call

import injected
import originals_by_path
import soft_moe_models
from layers import BATCHED_ALL, FLAT_ALL, Done, Row, mlp_shapes, pair
from suite import WIDTH, Case

SOFT_VERSION, WRAPPER_VERSION, LIGHT_VERSION, BLENDED_VERSION = soft_moe_models.VERSION, soft_moe_models.WRAPPER_COMMIT, "5bf98ff", "d8ff62f"
LIGHT_SHA256 = "6e4fc804efaa99c57d9b6f2f7636a35025d6c01798e23aa0e1d45da13cca01eb"
BLENDED_SHA256 = "6d0dbd78d150a101e9549d910a7ddbf48cf2a7f8caea342849b5614c0e4b1134"
PICTURES = (Case("t1", (1,)), Case("t2", (2,)), Case("t3", (3,)), Case("ties", (2,), "ties", True), Case("zero", (1,), "zero", True), Case("huge", (2,), "huge", True))
MLP = {"kind": "mlp", "count": 3, "hidden": 3, "activation": "gelu"}
GEGLU = {"kind": "gated_mlp", "count": 3, "hidden": 3, "activation": "gelu", "bias": True}


def load_light(folder):
    return originals_by_path.load(folder, {"light_soft_moe": "soft_moe.py"}, LIGHT_SHA256, f"zhaozijie2022/soft-moe {LIGHT_VERSION}")["light_soft_moe"]


def load_blended(folder):
    originals_by_path.stub("common")
    originals_by_path.stub("common.controller")
    return originals_by_path.load(folder, {"blended_models": "vae_motion/models.py"}, BLENDED_SHA256, f"character-motion-vaes {BLENDED_VERSION}")["blended_models"]


def masks(case, rng):
    """Some tokens of each row of the batch; none of the last one, where there are several, and all in the case "huge"."""
    mask = np.asarray(rng.integers(0, 2, case.shape), np.float32)
    if len(mask) > 1:
        mask[-1] = 0
    return {"mask": np.ones_like(mask) if case.effect == "huge" else mask}


def soft_rows(wrapper, light):
    def run(row, inputs, parameters, draws, training):
        """Through soft_moe_models.py, which has parameters of its own."""
        block = row.blocks[0]
        kind = "dynamic" if block["kind"] == "dynamic_soft_moe" else {"l2": "paper" if block.get("fill") else "l2"}.get(block["norm"], block["norm"])
        model, placement = soft_moe_models.build(kind, {path: leaf.detach().numpy() for path, leaf in parameters.items()}, wrapper)
        mask = inputs["mask"] if "mask" in inputs else None
        noise = draws["y.noise"].astype(inputs["x"].detach().numpy().dtype) if "y.noise" in draws else None
        of_experts = []
        if training and "dropout" in block["experts"]:
            draw = torch.from_numpy(draws["y.experts.up.dropout"])  # (E, batch rows and slots, H)
            of_experts = [each.unflatten(0, (len(inputs["x"]), -1)) for each in draw]
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = block["experts"]["dropout"]
        with injected.dropout(of_experts):
            y = soft_moe_models.run(model.train(training), inputs["x"], mask, noise, block.get("noise"))
        return Done(y, gradients=placement.gradients)

    def run_light(row, inputs, parameters, draws, training):
        experts, slots = row.blocks[0]["experts"], row.blocks[0]["slots"]
        layer = light.SoftMoE(WIDTH, experts["count"], slots)
        if experts.get("output_layer_norm"):  # the first version
            layer.experts = nn.ModuleList(light.Mlp(WIDTH, WIDTH, [WIDTH], torch.relu, torch.relu, True, True, False) for _ in range(experts["count"]))
        given = {"phi": parameters["y.slots"].unflatten(0, (experts["count"], slots)).permute(2, 0, 1)}
        for e in range(experts["count"]):
            for ours, theirs in (("up", "fcs.0"), ("up.layer_norm", "layer_norms.0"), ("down", "last_fc"), ("down.layer_norm", "last_ln")):
                given |= {f"experts.{e}.{theirs}.{kind}": parameters[f"y.experts.{ours}.{kind}"][e] for kind in ("weight", "bias") if f"y.experts.{ours}.{kind}" in parameters}
        mask = (inputs["mask"] > 0,) if "mask" in inputs else ()
        return Done(functional_call(layer, given, (inputs["x"], *mask)))

    def soft(name, origin, block, experts=MLP, slots=2, cases=BATCHED_ALL, masked=False, run=run, **more):
        is_dynamic = block.get("kind") == "dynamic_soft_moe"
        block = {"kind": "soft_moe", "name": "y", "experts": experts} | ({} if is_dynamic else {"slots": slots}) | block
        count = experts["count"]
        shapes = mlp_shapes("y.experts", experts, (count,))
        shapes |= {"y.to_slots.weight": (count * WIDTH, WIDTH)} if is_dynamic else {"y.slots": (count * slots, WIDTH)}
        if is_dynamic or block["norm"] in ("rms", "layer"):
            shapes |= {"y.norm.weight": (WIDTH,), "y.slot_norm.weight": (WIDTH,)}
        if block.get("scale"):
            shapes |= {"y.scale": (1,)}
        said = {key: value for key, value in block.items() if key not in ("kind", "name", "from")}
        more |= {"others": masks, "said_inputs": {"mask": {"shape": ["batch", "tokens"]}}, "constants": ("mask",)} if masked else {}
        block |= {"from": ["x", "mask"]} if masked else {}
        return Row(f"{block['kind']}.{name}", origin, "block", block["kind"], said, [block], shapes, run, cases, routers=(),
                   layers=("y.slots", "y.scale", "y.to_slots", "y.experts.up", "y.experts.gate"), steep=20.0, scales={"y.slots": 1.5}, **more)

    rms, package = {"norm": "rms"}, "soft-moe-pytorch"
    yield soft("soft-moe-pytorch.rms", package, rms)
    yield soft("soft-moe-pytorch.mask", package, rms, GEGLU, masked=True)
    yield soft("soft-moe-pytorch.one", package, rms, MLP | {"count": 1, "hidden": 3}, 1)
    yield soft("soft-moe-pytorch.singles", package, rms, GEGLU, 1, FLAT_ALL)
    yield soft("soft-moe-pytorch.pictures", package, rms, MLP | {"count": 2}, 3, PICTURES, shape=lambda shape: (*shape, WIDTH, 2, 3), sizes=("batch", WIDTH, 2, 3))

    def noise(shape, count=6):
        return {"y.noise": ((*shape, count), "uniform")}

    yield soft("soft-moe-pytorch.noise-mask", package, rms | {"noise": 0.7}, draws=noise, masked=True)
    yield soft("soft-moe-pytorch.dropout", package, rms, MLP | {"dropout": 0.4}, draws=lambda shape: {"y.experts.up.dropout": ((3, shape[0] * 2, 3), "uniform")})
    yield soft("soft-moe-pytorch.layer", package, {"norm": "layer"}, MLP | {"count": 4}, 1)
    l2 = {"norm": "l2", "scale": True}
    yield soft("bwconrad", "bwconrad/soft-moe", l2)
    yield soft("paper", "paper", l2 | {"fill": "tokens"}, slots=3)
    first = {"kind": "mlp", "count": 3, "hidden": WIDTH, "activation": "relu", "output_activation": "relu", "layer_norm": True, "output_layer_norm": True}
    newest = {"kind": "mlp", "count": 3, "hidden": WIDTH, "activation": "relu", "layer_norm": True}
    plain = {"norm": "none"}
    yield soft("light.first", "zhaozijie2022/soft-moe", plain, first, run=run_light)
    yield soft("light.mask", "zhaozijie2022/soft-moe", plain, newest | {"count": 2}, 1, masked=True, run=run_light)
    dynamic = {"kind": "dynamic_soft_moe"}
    yield soft("soft-moe-pytorch", package, dynamic)
    yield soft("soft-moe-pytorch.mask", package, dynamic, MLP | {"count": 4}, masked=True)
    yield soft("soft-moe-pytorch.one", package, dynamic, MLP | {"count": 1})


NAMES = ("first", "second", "y")
LATENT = 3


def blended_rows(blended):
    def run(row, inputs, parameters, draws, training):
        """MixedDecoder of z and the frame x, with a gate of the row's widths in the place of 64."""
        experts = row.blocks[1]["widths"][-1]
        hidden = next(block["out"] if "out" in block else block["experts"]["widths"][0] for block in row.blocks if block["kind"] in ("mixed_linear", "dense_experts"))
        model = blended.MixedDecoder(WIDTH, LATENT, hidden, 1, 1, experts)
        model.gate = nn.Sequential(*(step for i in range(3) for step in ((nn.Linear(1, 1),) if i == 2 else (nn.Linear(1, 1), nn.ELU()))))
        mixed = []
        for name, (_, _, activation) in zip(NAMES, model.decoder_layers):
            if f"{name}.weight" in parameters:  # mixed_linear: matrices side by side
                weight = parameters[f"{name}.weight"].unflatten(1, (experts, -1)).permute(1, 2, 0)
                bias = parameters[f"{name}.bias"].T if f"{name}.bias" in parameters else torch.zeros(experts, weight.shape[2], dtype=weight.dtype)
            else:
                weight, bias = parameters[f"{name}_experts.layers.0.weight"].mT, parameters[f"{name}_experts.layers.0.bias"]
            mixed.append((weight, bias, activation))
        model.decoder_layers = mixed
        given = {f"gate.{2 * i}.{kind}": parameters[f"gate.layers.{i}.{kind}"] for i in range(3) for kind in ("weight", "bias")}
        return Done(functional_call(model, given, (inputs["z"], inputs["x"])))

    def latent(case, rng):
        return {"z": np.asarray(rng.integers(-1, 2, (*case.shape, LATENT)) if case.effect == "ties" else rng.standard_normal((*case.shape, LATENT)), np.float32)}

    def row(name, kind, experts, hidden, bias=True):
        ins = (LATENT + WIDTH, LATENT + hidden, LATENT + hidden)
        blocks = [{"kind": "concat", "name": "both", "from": ["z", "x"]}, {"kind": "mlp", "name": "gate", "widths": [4, 3, experts], "activation": "elu"},
                  {"kind": "softmax", "name": "coefficients"}]
        shapes = mlp_shapes("gate", blocks[1], width=LATENT + WIDTH)
        value = "both"
        for i, (name_of, width, out) in enumerate(zip(NAMES, ins, (hidden, hidden, WIDTH))):
            if kind == "mixed_linear":
                blocks.append({"kind": kind, "name": name_of, "from": [value, "coefficients"], "out": out} | ({} if bias else {"bias": False}))
                shapes |= {f"{name_of}.weight": (out, experts * width)} | ({f"{name_of}.bias": (out, experts)} if bias else {})
            else:
                blocks += [{"kind": kind, "name": f"{name_of}_experts", "from": value, "experts": {"kind": "mlp", "count": experts, "widths": [out]}},
                           {"kind": "blend", "name": name_of, "from": [f"{name_of}_experts", "coefficients"]}]
                shapes |= pair(f"{name_of}_experts.layers.0", out, width, (experts,))
            if i < 2:
                blocks += [{"kind": "activation", "function": "elu", "name": f"active{i}"}, {"kind": "concat", "name": f"joined{i}", "from": ["z", f"active{i}"]}]
                value = f"joined{i}"
        said = next({key: value for key, value in block.items() if key not in ("kind", "name", "from")} for block in blocks if block["kind"] == kind)
        return Row(f"{kind}.{name}", "character-motion-vaes", "block", kind, said, blocks, shapes, run,
                   FLAT_ALL, others=latent, said_inputs={"z": {"shape": ["tokens", LATENT]}}, routers=(),
                   layers=("gate.layers.0", "first"), steep=6.0)

    yield row("decoder", "mixed_linear", 3, 2)
    yield row("decoder.one", "mixed_linear", 1, 1)
    yield row("decoder.no-bias", "mixed_linear", 2, 3, False)
    yield row("decoder", "dense_experts", 2, 3)
