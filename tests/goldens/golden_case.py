"""What the makers of golden files share: models of the zoo with overrides, metadata, comparison, the search for a seed."""
import importlib.metadata
import json
from pathlib import Path

import numpy as np
import torch

import expert_models
import fastmoe_on_cpu
import lucidrains_package
import soft_moe_models

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo"
TOLERANCE = {"f32": 1e-5, "f64": 1e-12}  # of the largest magnitude of a tensor
MARGIN = 1e-3  # no routing decision is closer than this, so that fp32 and float64 agree on all of them


def merge_patch(value, patch):
    """RFC 7396: objects merge, null removes, anything else (lists too) replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), change)
    return merged


def zoo_model(name, overrides):
    return merge_patch(json.loads((ZOO / f"{name}.json").read_text()), overrides)


def vit_size(model):
    patch, attention = model["model"][0], model["model"][3]["body"][0]["body"][1]
    return {"dim": model["let"]["dim"], "patch": patch["patch"], "channels": 3, "image": model["inputs"]["image"]["shape"][2:], "depth": model["model"][3]["times"],
            "heads": attention["heads"], "head_dim": attention["head_dim"], "classes": model["model"][-1]["out"]}


def vit_feed_forward(model):
    block = model["model"][3]["body"][1]["body"][1]
    return model["blocks"][block["kind"]] if block["kind"] in model.get("blocks", {}) else block


def metadata(description, packages, **more):
    versions = {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
    versions |= {"fastmoe": fastmoe_on_cpu.VERSION} if "fastmoe" in packages else {}
    versions |= {"transformers": importlib.metadata.version("transformers")} if "transformers" in packages else {}
    versions |= {"st-moe-pytorch": expert_models.ST_MOE_VERSION} if "st-moe-pytorch" in packages else {}
    versions |= {"mixture-of-experts": lucidrains_package.VERSION} if "lucidrains" in packages else {}
    versions |= {"soft-moe-pytorch": soft_moe_models.VERSION} if "soft-moe-pytorch" in packages else {}
    versions |= {"bwconrad/soft-moe": soft_moe_models.WRAPPER_COMMIT} if "bwconrad/soft-moe" in packages else {}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in more.items()}
    return {"generator": "tests/goldens/make_goldens.py", "packages": json.dumps(versions), "case": description, **texts}


def assert_close(what, found, expected, dtype):
    assert found.shape == np.shape(expected), (what, found.shape, np.shape(expected))
    error = np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max()
    assert error <= TOLERANCE[dtype], f"{what}: relative error {error:.2e} > {TOLERANCE[dtype]}"
    return error


def with_prefix(prefix, tensors):
    return {f"{prefix}/{name}": np.asarray(value) for name, value in tensors.items()}


def drops(indices, over_capacity):
    return f"{over_capacity} of {indices.size} choices over capacity, {(indices < 0).sum() - over_capacity} dropped at random"


def first_seed_with(accept):
    """The lowest seed whose numbers `accept` returns; it returns None for those with a near tie or without the wanted drops."""
    for seed in range(200):
        made = accept(np.random.default_rng(seed))
        if made is not None:
            return seed, made
    raise AssertionError("no seed below 200 fits the case")
