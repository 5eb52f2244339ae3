"""DeepSpeed's top1gating, top2gating and topkgating, with its capacity and its draws."""
import torch

import originals_by_path
from suite import FLAT, WIDTH, Case, Routed, Row, combined, repeatable

VERSION = "0.19.6"  # commit edaa722
FILES = {"deepspeed.moe.sharded_moe": "deepspeed/moe/sharded_moe.py"}
SHA256 = "6bc0df69b25bfc26f715cd0e4c3fef4f1c70fb8324f60500e4044b534b28b109"


def gumbel(uniform):
    """Of the draws; DeepSpeed takes torch.distributions.Gumbel."""
    return -torch.log(-torch.log(uniform.clamp(min=1e-20)))


def load(folder):
    for name in ("deepspeed", "deepspeed.utils", "deepspeed.utils.timer", "deepspeed.utils.bwc", "deepspeed.moe", "deepspeed.moe.mappings"):
        originals_by_path.stub(name)
    originals_by_path.stub("deepspeed.utils.torch", jit_script_compat=lambda function: function)
    originals_by_path.stub("deepspeed.utils.groups", mpu=None, _get_expert_model_parallel_world_size=lambda: 1)
    originals_by_path.stub("deepspeed.comm", ProcessGroup=originals_by_path.Anything)
    import sys
    sys.modules["deepspeed"].comm, sys.modules["deepspeed.utils"].groups = sys.modules["deepspeed.comm"], sys.modules["deepspeed.utils.groups"]
    return originals_by_path.load(folder, FILES, SHA256, f"DeepSpeed {VERSION}")["deepspeed.moe.sharded_moe"]


def rows(folder):
    moe = load(folder)

    def run(row, x, parameters, draws, training):
        gate, k = row.gate, row.gate["top_k"]
        policy = {"none": None, "jitter": "Jitter", "gumbel": "RSample"}[gate.get("noise", "none")]
        module = moe.TopKGate(WIDTH, row.experts, k, gate["capacity"]["train"], gate["capacity"]["eval"], gate["least_capacity"], policy,
                              not gate.get("dropless", False), gate.get("random_tokens", True), None, gate.get("sample_second", True)).train(training)
        asked = []  # in the order of the original
        if training and policy:
            asked.append({"Jitter": "jitter", "RSample": "noise"}[policy])
        asked += ["second"] if k == 2 and gate.get("sample_second", True) else []
        asked += ["tokens"] if k == 1 and gate.get("random_tokens", True) else []
        with repeatable([draws[name] for name in asked], x.dtype) as following:
            moe.gumbel_rsample = lambda shape, device: gumbel(following(shape))
            moe.multiplicative_jitter = lambda value, device, epsilon=1e-2: value * (1.0 - epsilon + 2.0 * epsilon * following(value.shape))
            moe.exp_selection_uniform_map[torch.device("cpu")] = following
            loss, _, _, indices, _, weights, _ = torch.func.functional_call(module, {"wg.weight": parameters["weight"]}, (x,), {"sparse_routes": True})
        indices, weights = indices.T.long(), weights.T
        return Routed(combined(indices, weights, row.experts), indices, {"balance_loss": loss} if training else {}, logits=x @ parameters["weight"].T)

    def made(name, gate, experts, **draws):
        gate = {"kind": "deepspeed", "capacity": {"train": 1.0, "eval": 1.5}, "least_capacity": 1, "balance_loss": 0.3} | gate
        columns = {"jitter": WIDTH, "noise": experts, "second": experts, "tokens": experts}
        return Row(f"deepspeed.{name}", "deepspeed", gate, {"weight": (experts, WIDTH)}, run, experts,
                   lambda shape: {path: ((*shape, columns[path]), "uniform") for path in draws}, huge=8.0)

    first = {"top_k": 1, "random_tokens": False}
    yield made("top-1", first, 5)
    yield made("top-1-random", {"top_k": 1, "capacity": {"train": 0.6, "eval": 0.9}}, 5, tokens=True)
    yield made("top-1-jitter", first | {"noise": "jitter"}, 5, jitter=True)
    yield made("top-1-gumbel", first | {"noise": "gumbel"}, 5, noise=True)
    yield made("top-1-one", first | {"dropless": True}, 1)
    yield made("top-2", {"top_k": 2, "sample_second": False, "z_loss": 0.2}, 5)
    yield made("top-2-sampled", {"top_k": 2}, 4, second=True)
    yield made("top-2-dropless", {"top_k": 2, "dropless": True}, 3, second=True)
    yield made("top-3", {"top_k": 3, "capacity": {"train": 0.7, "eval": 1.0}}, 5)
    yield made("top-all", {"top_k": 4, "dropless": True}, 4)
