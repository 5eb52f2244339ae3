#!/usr/bin/env python3
"""Makes digits.bin and shakespeare.txt: make.py <tinyshakespeare.txt>. Needs scikit-learn (made with 1.9; the data have not changed since 0.1)."""

import pathlib
import sys

import numpy
import sklearn.datasets

here = pathlib.Path(__file__).parent

digits = sklearn.datasets.load_digits()
assert digits.images.shape == (1797, 8, 8) and digits.images.max() == 16
points = digits.images.reshape(1797, 64)
assert (points == points.astype(numpy.uint8)).all()
# 1,797 records of 65 bytes: 64 points of 0..16, row by row; the digit.
records = numpy.concatenate([points, digits.target[:, None]], axis=1).astype(numpy.uint8)
(here / "digits.bin").write_bytes(records.tobytes())

# Whole lines, 256 KiB at most.
text = pathlib.Path(sys.argv[1]).read_bytes()[: 256 * 1024]
(here / "shakespeare.txt").write_bytes(text[: text.rindex(b"\n") + 1])
