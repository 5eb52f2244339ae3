"""What is measured: each work is a model, the inputs of one call, and PyTorch's forms of the same. `WORKS` is the table."""
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

import expert_forms
import whole_models
from expert_forms import Shape

HERE = Path(__file__).resolve().parent
ZOO = HERE.parents[1] / "models" / "zoo"
ADAM_RATE, SGD_RATE = 1e-3, 1e-2


def merged(value, patch):
    """RFC 7396: objects merge, null removes, anything else (lists too) replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), change)
    return result


@dataclass
class Work:
    """`make(work, weights, form)` gives a Peer; forms that end in "+c" run under torch.compile."""
    name: str
    model: str
    make: object
    forms: tuple
    sizes: dict            # of symbols in the inputs' shapes
    flops: float           # of the products
    training: bool = False
    changes: dict = field(default_factory=dict)  # a merge patch of the model
    read: float = 0        # bytes of weights that a call must read
    shape: Shape = None
    tolerance: float = 1e-4  # of results, relative to the largest
    weights_as: str = None   # how moec keeps weights of products; PyTorch keeps f32

    def json(self):
        file = HERE / "models" / f"{self.model}.json"
        text = json.loads((file if file.exists() else ZOO / f"{self.model}.json").read_text())
        return merged(text, self.changes)

    def inputs(self):
        """{name: tensor}, of a fixed seed: normals; integers below the least size that they index."""
        model, draws, made = self.json(), torch.Generator().manual_seed(1), {}
        default = model.get("dtype", "f32")
        for name, entry in model["inputs"].items():
            if entry.get("for") == "loss" and not self.training:
                continue
            sizes = [self.size(size, model.get("let", {})) for size in entry["shape"]]
            dtype = entry.get("dtype", default)
            if dtype == "i64":
                made[name] = torch.randint(model.get("let", {}).get("vocabulary", 10), sizes, generator=draws)
            else:
                made[name] = torch.randn(sizes, generator=draws, dtype=torch.float64).to({"f32": torch.float32, "f64": torch.float64}[dtype])
        return made

    def size(self, size, let):
        return let[size[1:]] if isinstance(size, str) and size.startswith("$") else self.sizes[size] if isinstance(size, str) else size

    def rate(self):
        return SGD_RATE if self.json().get("optimizer", {}).get("kind") == "sgd" else ADAM_RATE


class Peer:
    """`run()` is one call: of inference, results {name: tensor}; of training, the whole step and its loss as {"loss": tensor}."""

    def __init__(self, run):
        self.run = run


def step_of(parameters, loss, work):
    """Forward, loss, backward and update, as a training loop has them."""
    kind = torch.optim.SGD if work.json().get("optimizer", {}).get("kind") == "sgd" else torch.optim.Adam
    optimizer = kind(parameters, lr=work.rate(), fused=True)

    def run():
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimizer.step()
        return {"loss": value.detach()}

    return Peer(run)


def inference_of(results):
    def run():
        with torch.inference_mode():
            return results()
    return Peer(run)


def compiled(function, form):
    return torch.compile(function, dynamic=False) if form.endswith("+c") else function


def layer(work, weights, inputs, form):
    """Of expert_forms."""
    function = expert_forms.FORMS[form.removesuffix("+c")]
    p = {name.split("moe.")[-1].removeprefix("y."): value for name, value in weights.items()}
    call = compiled(lambda x, p: function(x, p, work.shape), form)
    if not work.training:
        return inference_of(lambda: {"y": call(inputs["x"], p)})
    for value in p.values():
        value.requires_grad_()
    return step_of(list(p.values()), lambda: nn.functional.mse_loss(call(inputs["x"], p), inputs["target"]), work)


def whole(work, weights, inputs, form):
    """Of whole_models: a module whose losses or results are asked for."""
    module, results, loss = whole_models.BUILDERS[work.model](work, weights, form.removesuffix("+c"))
    module.train(work.training)
    if not work.training:
        call = compiled(results, form)
        return inference_of(lambda: call(inputs))
    call = compiled(loss, form)
    return step_of(list(module.parameters()), lambda: call(inputs), work)


def expert_layers():
    """S1 to S4: forward, and the step whose input needs no gradient."""
    def add(name, model, tokens, width, hidden, experts, choices, gated, forms, training):
        product = 2.0 * tokens * choices * width * hidden
        first, all_products = (2, 3) if gated else (1, 2)
        used = experts * (1 - (1 - choices / experts) ** tokens)  # that some token chose, on average
        yield Work(f"{name}-{'train' if training else 'forward'}", model, layer, forms, {"tokens": tokens},
                   product * (3 * all_products - first if training else all_products), training, shape=Shape(experts, choices, "silu" if gated else "gelu", gated),
                   read=4.0 * used * all_products * width * hidden)

    large, small = ("loop", "sorted", "grouped", "grouped+c"), ("dense", "dense+c", "grouped", "grouped+c", "sorted", "loop")
    for training in (False, True):
        yield from add("s1", "s1", 4096, 512, 2048, 16, 2, False, large, training)
        yield from add("s3", "s3", 512, 1024, 3584, 8, 2, True, large, training)
        yield from add("s4", "s4", 4160, 32, 32, 4, 2, False, small, training)
    for tokens in (1, 8, 64, 512, 4096):
        yield from add(f"s2-t{tokens}", "s2", tokens, 2048, 1024, 64, 8, True, (*large[:3], "gathered") if tokens == 1 else large[:3], False)
    yield from add("s2-t512", "s2", 512, 2048, 1024, 64, 8, True, large[:3], True)


def converted_weights():
    """Few tokens of S2, where reading weights is the work. What converting costs in accuracy is the tolerance."""
    for work in list(expert_layers()):
        if work.name in ("s2-t1-forward", "s2-t8-forward"):
            for form, bytes_of_weight, tolerance in (("bf16", 2.0, 1e-2), ("int8", 1 + 2 / 32, 2e-2)):
                yield replace(work, name=work.name.replace("-forward", f"-{form}-forward"), weights_as=form, read=work.read * bytes_of_weight / 4, tolerance=tolerance)


def batched_experts():
    for experts in (4, 8):
        for dtype in ("f32", "f64"):
            for training in (False, True):
                products = 2.0 * 32 * experts * (60 * 256 + 2 * 256 * 256 + 256 * 20)
                changes = {"dtype": dtype, "inputs": {"blend": {"shape": [experts]}},
                           "model": [merged(block, {"experts": {"count": experts}} if block["kind"] == "dense_experts" else {})
                                     for block in json.loads((ZOO / "batched-experts.json").read_text())["model"]]}
                yield Work(f"batched-e{experts}-{dtype}-{'train' if training else 'forward'}", "batched-experts", whole, ("batched", "batched+c", "loop", "loop+c"), {"batch": 32},
                           products * 3 - (2.0 * 32 * experts * 60 * 256) if training else products, training, changes)


def lucidrains():
    """Policy all: PyTorch's draws would be others. Rows are those that the capacity leaves at most."""
    for tokens, batch in ((1024, 4), (8192, 1)):
        for training in (False, True):
            capacity = int(tokens * (1.25 if training else 2.0) / 16)
            product = 2.0 * batch * 16 * capacity * 512 * 2048
            yield Work(f"lucidrains-n{tokens}-{'train' if training else 'forward'}", "lucidrains-moe", whole, ("package",), {"batch": batch, "tokens": tokens},
                       product * (5 if training else 2), training, {"blocks": {"mixture": {"gate": {"policy": "all"}}}})


def pictures():
    """Tokens: 64 patches of 48 numbers, and one more. Random routing off, whose draws would be others."""
    for model in ("vit", "vit-moe"):
        changes = {"blocks": {"feed_forward": {"gate": {"random_routing": False}}}} if model == "vit-moe" else {}
        forms = ("eager", "sdpa", "eager+c", "sdpa+c") if model == "vit" else ("dense", "dense+c", "grouped", "sorted", "dense-sdpa", "dense-sdpa+c")
        for batch, training in ((1, False), (64, False), (64, True)):
            tokens = 65 * batch
            # Of queries and what stands behind them vit's last layer needs those of one token; gates choose among all.
            rows = tokens + (tokens if model == "vit-moe" else batch)
            of_queries = 32 * 128 + 2 * 65 * 128 + 128 * 32 + 2 * 32 * 32 * (2 if model == "vit-moe" else 1)
            forward = 2.0 * (64 * batch * 48 * 32 + 2 * tokens * 32 * 256 + rows * of_queries)
            yield Work(f"{model}-b{batch}-{'train' if training else 'forward'}", model, whole, forms, {"batch": batch}, forward * (3 if training else 1), training, changes)


def without_dropout(value):
    """Of a model's JSON; its dropout blocks stay, and drop nothing."""
    if isinstance(value, dict):
        return {key: 0 if key == "dropout" or (key == "p" and value.get("kind") == "dropout") else without_dropout(inner) for key, inner in value.items()}
    return [without_dropout(inner) for inner in value] if isinstance(value, list) else value


def language():
    """Batches of 64 x 30 tokens; no dropout and no jitter, whose draws would be others."""
    plain = without_dropout(json.loads((ZOO / "switch-lm.json").read_text()))
    tokens = 64 * 30
    per_token = 6 * (4 * 256 * 256 + 2 * 256 * 512 + 30 * 256) + 2 * 256 * 512 + 256 * 8000
    yield Work("switch-lm-train", "switch-lm", whole, ("loop", "grouped", "sorted", "grouped+c"), {"batch": 64, "sequence": 30}, 2.0 * tokens * per_token * 3, True,
               merged({"model": plain["model"]}, {"blocks": {"mixture": {"gate": {"jitter": 0}}}}))


WORKS = {work.name: work for group in (expert_layers, converted_weights, batched_experts, lucidrains, pictures, language) for work in group()}
