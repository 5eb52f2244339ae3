"""The same training in PyTorch: python train_torch.py MODEL.json TRAINING.safetensors [--fastmoe DIR] [--let NAME=VALUE ...]

TRAINING.safetensors is what bench_training_dump wrote: the initial weights, the records in the order of the steps, the learning rates, the records held out.
Models are those that the goldens of tests/goldens are made with. Prints a JSON line per evaluation: step, loss, accuracy (all records held out, in batches),
seconds of training so far. See README.md.
"""
import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "goldens"))
import fastmoe_on_cpu  # noqa: E402
import language_goldens  # noqa: E402
import language_models  # noqa: E402
import originals  # noqa: E402
from golden_case import vit_feed_forward, vit_size  # noqa: E402

EVALUATION_BATCH = 64


class Vit:
    """scores(image) of vit or vit-moe; FastMoE's gate without random routing, and without its loss, which the zoo's model does not have."""

    def __init__(self, model, weights, fmoe):
        self.module = originals.build_vit(fmoe, vit_size(model), vit_feed_forward(model), "f32", [])
        self.placement = originals.placed(self.module, weights)
        self.placement.count()

    def loss(self, batch):
        with fastmoe_on_cpu.repeatable(iter(())):
            scores = self.module(batch["image"])
        return torch.nn.functional.cross_entropy(scores, batch["label"]), scores, batch["label"]


class Language:
    """scores(tokens) of a language model; the balance loss of the Switch with its coefficient."""

    def __init__(self, model, weights, fmoe):
        mixture = language_goldens.resolved(model["blocks"]["mixture"], model["let"])
        deep_head = any(block["kind"] == "dropout" for block in model["model"])
        self.module, self.placement = language_models.build(model["let"], mixture, deep_head, weights, dropout=0.0)
        self.placement.count()

    def loss(self, batch):
        scores = self.module(batch["tokens"], None)
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), batch["targets"].flatten())
        gate = self.module.moe
        if self.module.training and gate.balance is not None:
            loss = loss + gate.settings["balance_loss"] * gate.balance
        return loss, scores, batch["targets"]


def batches(records, numbers, sizes):
    """The records of each step, in order."""
    begin = 0
    for size in sizes:
        rows = numbers[begin:begin + size]
        begin += size
        yield {name: torch.from_numpy(value[rows]) for name, value in records.items()}


def group(stored, name):
    return {key.removeprefix(name + "/"): value for key, value in stored.items() if key.startswith(name + "/")}


def evaluate(model, records):
    """(mean loss, share of labels whose score is the highest), in evaluation."""
    model.module.eval()
    loss = right = labels = 0.0
    count = len(next(iter(records.values())))
    with torch.no_grad():
        for begin in range(0, count, EVALUATION_BATCH):
            rows = np.arange(begin, min(begin + EVALUATION_BATCH, count))
            value, scores, label = model.loss({name: torch.from_numpy(each[rows]) for name, each in records.items()})
            loss += float(value) * label.numel()
            right += float((scores.argmax(dim=-1) == label).sum())
            labels += label.numel()
    model.module.train()
    return loss / labels, right / labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("training")
    parser.add_argument("--fastmoe", help="a checkout of FastMoE at the version in tests/goldens/fastmoe_on_cpu.py; of vit-moe")
    parser.add_argument("--let", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--every", type=int, default=0, help="steps between evaluations; 0: only at the end")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = json.loads(Path(arguments.model).read_text())
    for text in arguments.let:
        name, value = text.split("=")
        model.setdefault("let", {})[name] = int(value)
    stored = load_file(arguments.training)
    fmoe = fastmoe_on_cpu.load(arguments.fastmoe) if arguments.fastmoe else None
    torch.manual_seed(0)
    kind = Vit if "image" in model["inputs"] else Language
    trained = kind(model, group(stored, "weights"), fmoe)
    optimizer = torch.optim.Adam(trained.module.parameters(), lr=1.0)
    trained.module.train()
    records, validation, seconds = group(stored, "train"), group(stored, "validation"), 0.0
    rates = stored["learning_rates"]
    for step, batch in enumerate(batches(records, stored["order"], stored["sizes"]), 1):
        begin = time.perf_counter()
        for entry in optimizer.param_groups:
            entry["lr"] = float(rates[step - 1])
        optimizer.zero_grad()
        loss, *_ = trained.loss(batch)
        loss.backward()
        optimizer.step()
        seconds += time.perf_counter() - begin
        if step == len(rates) or (arguments.every and step % arguments.every == 0):
            held_out, accuracy = evaluate(trained, validation)
            print(json.dumps({"step": step, "loss": held_out, "accuracy": accuracy, "training_loss": float(loss.detach()), "seconds": round(seconds, 3)}), flush=True)


if __name__ == "__main__":
    main()
