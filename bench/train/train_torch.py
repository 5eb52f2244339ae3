"""The same training in PyTorch: python train_torch.py MODEL.json TRAINING.safetensors [--fastmoe DIR]

TRAINING.safetensors is what bench_training_dump wrote: the initial weights, the records in the order of the steps, the learning rates, the records held out.
Prints a JSON line per step (its loss) and per evaluation: step, loss, accuracy (all records held out, in batches; of labels), seconds of training so far. See README.md.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

import torch_models

EVALUATION_BATCH = 64


def group(stored, name):
    return {key.removeprefix(name + "/"): value for key, value in stored.items() if key.startswith(name + "/")}


def batch_of(records, shared, rows):
    return {name: torch.from_numpy(value[rows]) for name, value in records.items()} | {name: torch.from_numpy(value) for name, value in shared.items()}


def evaluate(trained, records, shared):
    """(mean loss, share of labels whose score is the highest or None), in evaluation."""
    trained.module.eval()
    loss = right = labels = 0.0
    count = len(next(iter(records.values())))
    with torch.no_grad():
        for begin in range(0, count, EVALUATION_BATCH):
            batch = batch_of(records, shared, np.arange(begin, min(begin + EVALUATION_BATCH, count)))
            value, _, prediction = trained.losses(batch)
            target = batch[trained.target]
            loss += float(value) * target.numel()
            labels += target.numel()
            if not target.is_floating_point():
                right += float((prediction.argmax(dim=-1) == target).sum())
    trained.module.train()
    return loss / labels, None if target.is_floating_point() else right / labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("training")
    parser.add_argument("--fastmoe", help="a checkout of FastMoE at the version in tests/goldens/fastmoe_on_cpu.py; of vit-moe")
    parser.add_argument("--weights", help="a file of initial weights in place of TRAINING's")
    parser.add_argument("--every", type=int, default=0, help="steps between evaluations; 0: only at the end")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = json.loads(Path(arguments.model).read_text())
    stored = load_file(arguments.training)
    fmoe = torch_models.fastmoe_on_cpu.load(arguments.fastmoe) if arguments.fastmoe else None
    torch.manual_seed(0)
    trained = torch_models.build(model, load_file(arguments.weights) if arguments.weights else group(stored, "weights"), fmoe)
    optimizer = torch.optim.Adam(trained.module.parameters(), lr=1.0)
    trained.module.train()
    records, held_out, shared, seconds = group(stored, "train"), group(stored, "validation"), group(stored, "shared"), 0.0
    order, rates, begin = stored["order"], stored["learning_rates"], 0
    for step, size in enumerate(stored["sizes"], 1):
        started = time.perf_counter()
        batch = batch_of(records, shared, order[begin:begin + size])
        begin += size
        for entry in optimizer.param_groups:
            entry["lr"] = float(rates[step - 1])
        optimizer.zero_grad()
        _, loss, _ = trained.losses(batch)
        loss.backward()
        optimizer.step()
        seconds += time.perf_counter() - started
        print(json.dumps({"kind": "step", "step": step, "loss": float(loss.detach())}), flush=True)
        if step == len(rates) or (arguments.every and step % arguments.every == 0):
            value, accuracy = evaluate(trained, held_out, shared)
            print(json.dumps({"kind": "evaluation", "step": step, "loss": value, "accuracy": accuracy, "seconds": round(seconds, 3)}), flush=True)


if __name__ == "__main__":
    main()
