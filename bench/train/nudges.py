"""How far a training comes from itself: its initial weights moved by about a last bit of an f32, its losses beside those of the others.

What rounding does to a training shows in the trainings of one program that begin a last bit apart. Two programs whose distance is of that size differ by rounding alone.
"""
import itertools

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

SHARE = 1e-7  # of each weight: 2^-23 is 1.2e-7


def write(training, file, number):
    """The weights that bench_training_dump wrote, each times 1 + SHARE * normal."""
    draws = np.random.default_rng(number)
    with safe_open(training, "np") as stored:
        weights = {name.removeprefix("weights/"): stored.get_tensor(name) for name in sorted(stored.keys()) if name.startswith("weights/")}
    save_file({name: (value * (1.0 + SHARE * draws.standard_normal(value.shape))).astype(value.dtype) for name, value in weights.items()}, file)


def losses(lines, kind):
    return {line["step"]: line["loss"] for line in lines if line["kind"] == kind}


def apart(pairs):
    """(mean, largest) of the shares that pairs of losses differ by, in per cent."""
    shares = [200 * abs(a - b) / (a + b) for a, b in pairs]
    return f"{sum(shares) / len(shares):.2g} % ({max(shares):.2g})"


def table(ours, theirs):
    """Rows of a table: for each evaluation, how far trainings by one program are apart in pairs, and how far all of moec's are from all of PyTorch's."""
    rows = ["| step | moec | PyTorch | moec from moec | PyTorch from PyTorch | moec from PyTorch |", "|---|---|---|---|---|---|"]
    ours, theirs = [losses(lines, "evaluation") for lines in ours], [losses(lines, "evaluation") for lines in theirs]
    for step in sorted(set.intersection(*(set(run) for run in ours + theirs))):
        a, b = [run[step] for run in ours], [run[step] for run in theirs]
        span = lambda values: f"{min(values):.4f} to {max(values):.4f}"
        rows.append(f"| {step} | {span(a)} | {span(b)} | {apart(itertools.combinations(a, 2))} | {apart(itertools.combinations(b, 2))} | {apart(itertools.product(a, b))} |")
    return rows
