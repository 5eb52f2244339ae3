"""Losses of PyTorch behind a linear layer, and the paper's of rows of a batch, of which an attention mask leaves tokens out."""
import numpy as np
import torch
from torch.nn import functional

from layers import BATCHED, BATCHED_ALL, FLAT_ALL, Done, Row, pair
from suite import WIDTH, repeatable
from transformers_experts import attention_mask

VERSION = torch.__version__.split("+")[0]


def rows():
    def run_cross_entropy(row, inputs, parameters, draws, training):
        y = functional.linear(inputs["x"], parameters["y.weight"], parameters["y.bias"])
        loss = functional.cross_entropy(y.flatten(0, -2), inputs["labels"].flatten(), ignore_index=row.loss.get("ignore_index", -100),
                                        label_smoothing=row.loss.get("label_smoothing", 0.0))
        return Done(y, loss=loss)

    def cross_entropy(name, classes, cases, loss, ignore=None):
        def labels(case, rng):
            labels = rng.integers(0, classes, case.shape)
            if ignore is not None:  # not the first one: where all are ignored the mean is no number
                labels = np.where(rng.integers(0, 2, case.shape) == 1, ignore, labels)
                labels.flat[0] = (ignore + 1) % classes if ignore >= 0 else 0
            return {"labels": labels.astype(np.int64)}

        tokens = ["tokens"] if len(cases[0].shape) == 1 else ["batch", "tokens"]
        return Row(f"cross_entropy.torch{name}", "torch", "loss", "cross_entropy", loss, [{"kind": "linear", "name": "y", "from": "x", "out": classes}],
                   pair("y", classes, WIDTH), run_cross_entropy, cases, out=classes, others=labels,
                   said_inputs={"labels": {"shape": tokens, "dtype": "i64", "for": "loss"}},
                   loss={"kind": "cross_entropy", "scores": "y", "labels": "labels"} | loss, routers=(), layers=("y",))

    yield cross_entropy("", 5, FLAT_ALL, {})
    yield cross_entropy(".one", 1, FLAT_ALL, {})
    yield cross_entropy(".smooth", 7, BATCHED_ALL, {"label_smoothing": 0.1})
    yield cross_entropy(".ignore", 3, BATCHED_ALL, {}, -100)
    yield cross_entropy(".smooth-ignore", 4, FLAT_ALL, {"label_smoothing": 0.3, "ignore_index": 2}, 2)

    def run_mse(row, inputs, parameters, draws, training):
        return Done(functional.linear(inputs["x"], parameters["y.weight"], parameters["y.bias"]))

    for name, out, cases in (("", 3, FLAT_ALL), (".batch", 1, BATCHED_ALL)):
        yield Row(f"mse.torch{name}", "torch", "loss", "mse", {}, [{"kind": "linear", "name": "y", "from": "x", "out": out}], pair("y", out, WIDTH), run_mse, cases, out=out,
                  routers=(), layers=("y",))


def paper_rows():
    def run(row, inputs, parameters, draws, training):
        """DeepSeek-V2's loss of each row of the batch, of the tokens that the mask has; a row without one counts as 0. z-loss: the mean over these tokens."""
        x, mask, gate = inputs["x"], inputs["mask"], row.blocks[0]["gate"]
        experts, choices = row.blocks[0]["experts"]["count"], gate["top_k"]
        logits = functional.linear(x, parameters["y.gate.weight"])
        scores = logits.softmax(dim=-1)
        with repeatable([], x.dtype):
            weights, indices = torch.topk(scores, choices)
        every = torch.einsum("bnd,eod->bneo", x, parameters["y.experts.weight"]) + parameters["y.experts.bias"]
        y = (weights[..., None] * every.gather(2, indices[..., None].expand(*indices.shape, WIDTH))).sum(dim=2)
        of_rows = []
        for b in range(len(x)):
            kept = mask[b] > 0
            counts = functional.one_hot(indices[b, kept], experts).to(x.dtype).sum(dim=1)
            of_rows.append(experts * (counts.mean(dim=0) * scores[b, kept].mean(dim=0)).sum() if kept.any() else torch.zeros((), dtype=x.dtype))
        squares = logits.logsumexp(dim=-1).square()
        losses = {"y.gate.balance_loss": (gate["balance_loss"], torch.stack(of_rows).mean()), "y.gate.z_loss": (gate["z_loss"], squares[mask > 0].mean())}
        return Done(y, {"y.gate": indices.flatten(0, 1)}, losses if training else {})

    for name, count, k, coefficients in (("", 4, 2, (3.0, 20.0)), (".nothing", 3, 1, (0.0, 0.0))):
        gate = {"kind": "top_k", "top_k": k, "softmax": "all", "bias": False, "balance_loss": coefficients[0], "balance_per": "row", "z_loss": coefficients[1], "loss_mask": "mask"}
        block = {"kind": "moe", "name": "y", "from": "x", "gate": gate, "experts": {"kind": "linear", "count": count}}
        yield Row(f"balance_loss.paper.rows{name}", "paper", "loss", "balance_loss", {key: value for key, value in gate.items() if "loss" in key or "balance" in key}, [block],
                  pair("y.gate", count, WIDTH, bias=False) | pair("y.experts", WIDTH, WIDTH, (count,)), run, BATCHED, others=attention_mask,
                  said_inputs={"mask": {"shape": ["batch", "tokens"]}}, constants=("mask",))
