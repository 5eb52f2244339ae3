"""A regression that experts can share out: python regimes.py FOLDER [--tokens N] [--width W] [--out O] [--records R]

x is normal; two fixed projections of it say which of four regimes it is in, and each regime has a linear map of its own, behind which stands a tanh, and a little noise. Writes x.npy,
target.npy and blend.npy, (records, W) and (records, O), or, with N tokens, (records, N, W) and (records, N, O), each token by itself. The seed is fixed.
"""
import argparse
from pathlib import Path

import numpy as np

REGIMES = 4


def make(records, tokens, width, out, dtype):
    draws = np.random.default_rng(20)
    split, maps = draws.standard_normal((2, width)), draws.standard_normal((REGIMES, width, out)) * 1.5 / np.sqrt(width)
    x = draws.standard_normal((records, max(tokens, 1), width))
    high = x @ split.T > 0  # (R, N, 2)
    regime = high[..., 0] * 2 + high[..., 1]
    target = np.tanh(sum((regime == r)[..., None] * (x @ maps[r]) for r in range(REGIMES))) + 0.05 * draws.standard_normal((*x.shape[:2], out))
    shape = (lambda value: value) if tokens else (lambda value: value[:, 0])
    return {"x": shape(x).astype(dtype), "target": shape(target).astype(dtype), "blend": np.array([0.4, 0.3, 0.2, 0.1], dtype)}


def write(folder, records=4000, tokens=0, width=60, out=20, dtype=np.float32):
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, value in make(records, tokens, width, out, dtype).items():
        np.save(Path(folder) / f"{name}.npy", value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    for name, standard in (("records", 4000), ("tokens", 0), ("width", 60), ("out", 20)):
        parser.add_argument("--" + name, type=int, default=standard)
    arguments = vars(parser.parse_args())
    write(arguments.pop("folder"), **arguments)
