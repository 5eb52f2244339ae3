#!/usr/bin/env python3
"""Makes cpu/CoefficientsF32.h: polynomials for VectorMathF32.cpp whose coefficients are rounded to f32 one after the other.

Needs mpmath 1.3 and numpy. Each polynomial minimises max |p(x) - f(x)| * w(x) over an interval, by Lawson's iteration; once a coefficient is
rounded, those behind it are fitted again, so that they take back what the rounding did. A first coefficient at x = 0 inside the interval
cannot be helped so: where that matters, the place of x = 0 is moved until f is almost an f32 there.

    python3 codegen/coefficients_f32.py
"""
from pathlib import Path

import numpy
from mpmath import mp, mpf, atanh, cos, erf, erfc, exp, expm1, log, pi, sqrt, tanh

mp.dps = 40
NODES = 500


def single(x):
    return float(numpy.float32(float(x)))


def lawson(matrix, values, turns=60):
    """Coefficients that minimise the largest |matrix c - values|."""
    weights = numpy.full(len(values), 1 / len(values))
    best = None
    for _ in range(turns):
        root = numpy.sqrt(weights)
        c = numpy.linalg.lstsq(matrix * root[:, None], values * root, rcond=None)[0]
        errors = numpy.abs(matrix @ c - values)
        if best is None or errors.max() < best[0]:
            best = (errors.max(), c)
        weights = weights * errors
        weights /= weights.sum()
    return best[1]


def fit(f, weight, low, high, degree, fixed=()):
    """(coefficients in f32, lowest power first; the largest weighted error)."""
    low, high = mpf(low), mpf(high)
    xs = [(low + high) / 2 - (high - low) / 2 * cos(pi * (i + mpf(1) / 2) / NODES) for i in range(NODES)]
    values = [f(x) for x in xs]
    weights = numpy.array([float(weight(x)) for x in xs])
    powers = numpy.array([[float(x**p) for p in range(degree + 1)] for x in xs])

    def left(c):
        return numpy.array([float(v - sum((mpf(a) * x**p for p, a in enumerate(c)), mpf(0))) for x, v in zip(xs, values)]) * weights

    c = list(fixed)
    while len(c) <= degree:
        columns = powers[:, len(c):]
        scale = numpy.abs(columns).max(0)
        c.append(single(lawson(columns / scale * weights[:, None], left(c))[0] / scale[0]))
    return c, numpy.abs(left(c)).max()


def nearAnF32(f, start, tries=300):
    """(x, f(x) as f32): the f32 x behind `start` where f(x) is nearest to one."""
    x, best = numpy.float32(start), None
    for _ in range(tries):
        value = f(mpf(float(x)))
        error = abs(value - single(value)) / abs(value)
        if best is None or error < best[0]:
            best = (error, mpf(float(x)), single(value))
        x = numpy.nextafter(x, numpy.float32(numpy.inf))
    return best[1:]


def at(f, limit):
    """f with its limit at 0."""
    return lambda x: limit if abs(x) < mpf(10)**-12 else f(x)


def normalUpTo(x):
    return erfc(-x / sqrt(mpf(2))) / 2


def density(x):
    return exp(-x * x / 2) / sqrt(2 * pi)


def scaledTail(y):
    """Phi(-y) exp(y^2/2)."""
    return exp(y * y / 2) * erfc(y / sqrt(mpf(2))) / 2


NEAR = mpf("1.6875")


def nearTable(f, weight, centre, degree):
    """f(y) for y in [0, NEAR] as a polynomial in centre - y."""
    centre, first = nearAnF32(f, centre)
    c, error = fit(lambda w: f(centre - w), lambda w: weight(centre - w), centre - NEAR, centre, degree, [first])
    return float(centre), c, error


def tailTable(f, weight, shift, end, degree):
    """f(y) for y in [NEAR, end] as a polynomial in slope / (y + shift) - offset, which lies in about [-1, 1]."""
    shift = mpf(shift)
    low, high = 1 / (mpf(end) + shift), 1 / (NEAR + shift)
    slope = mpf(round(float(2 / (high - low)) * 4)) / 4
    of = lambda t, offset: slope / (t + offset) - shift
    offset, first = nearAnF32(lambda v: f(of(mpf(0), v)), float(slope * (low + high) / 2))
    c, error = fit(lambda t: f(of(t, offset)), lambda t: weight(of(t, offset)), slope * low - offset, slope * high - offset, degree, [first])
    return float(shift), float(slope), float(offset), c, error


def polynomials():
    """(name, what it is, coefficients, error)"""
    half = log(mpf(2)) / 2 * mpf("1.001")
    s = (sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1)
    inverseHyperbolic = at(lambda z: (2 * atanh(sqrt(z)) / sqrt(z) - 2) / z, mpf(2) / 3)
    share = lambda z: sqrt(z)**3 / (2 * atanh(sqrt(z)))
    overTanh = at(lambda z: z * sqrt(z) / tanh(sqrt(z)), mpf(10)**-6)
    overErf = at(lambda z: z * sqrt(z) / erf(sqrt(z)), mpf(10)**-6)
    return [
        ("Exp", "(exp(r) - 1 - r) / r^2, |r| <= ln 2 / 2", *fit(at(lambda r: (expm1(r) - r) / r**2, mpf(1) / 2), lambda r: 1, -half, half, 4, [0.5])),
        ("Log", "(2 atanh(s) - 2s) / s^3 of z = s^2, |s| <= 0.1716", *fit(inverseHyperbolic, at(share, mpf(10)**-6), 0, s * s * mpf("1.001"), 2)),
        ("Log1p", "the same for |s| <= 1/3", *fit(inverseHyperbolic, at(share, mpf(10)**-6), 0, mpf(1) / 9, 3)),
        ("Tanh", "(tanh(x) / x - 1) / z of z = x^2, |x| <= 0.625",
         *fit(at(lambda z: (tanh(sqrt(z)) / sqrt(z) - 1) / z, mpf(-1) / 3), overTanh, 0, mpf("0.625")**2, 4)),
        ("Erf", "(erf(x) / x - 2 / sqrt(pi)) / z of z = x^2, |x| <= 1",
         *fit(at(lambda z: (erf(sqrt(z)) / sqrt(z) - 2 / sqrt(pi)) / z, -2 / (3 * sqrt(pi))), overErf, 0, 1, 5)),
        ("ErfcLog", "-log(erfc(y)), y in [1, 4]", *fit(lambda y: -log(erfc(y)), lambda y: erfc(y), 1, 4, 6)),
    ]


def constants():
    ln2, twoOverSqrtPi = log(mpf(2)), 2 / sqrt(pi)
    short = float(mp.floor(ln2 * 2**15 + mpf(1) / 2) / 2**15)
    linear = 2 * sqrt(2 / pi)
    linearShort, cubic = float(mp.floor(linear * 2**16) / 2**16), linear * mpf("0.044715")
    return [("InverseLn2", single(1 / ln2)), ("Ln2Short", short), ("Ln2ShortRest", single(ln2 - short)), ("SqrtHalf", single(sqrt(mpf(1) / 2))),
            ("TwoOverSqrtPi", single(twoOverSqrtPi)), ("TwoOverSqrtPiRest", single(twoOverSqrtPi - single(twoOverSqrtPi))),
            ("LinearShort", linearShort), ("LinearRest", single(linear - linearShort)), ("Cubic", single(cubic)),
            ("CubicRest", single(cubic - single(cubic))), ("ThriceCubic", single(3 * cubic))]


def numbers(c):
    return ",\n    ".join(", ".join(x.hex() for x in c[i:i + 6]) for i in range(0, len(c), 6))


def header():
    lines = ["#pragma once", "// Polynomials for VectorMathF32.cpp, lowest power first. Made by codegen/coefficients_f32.py, not by hand.", "",
             '#include "llvm/ADT/ArrayRef.h"', "", "namespace moec::codegen::cpu::single {", "",
             "/// A polynomial in centre - y, for y in [0, kNear]. slope: about its derivative where y is so small that the difference is rounded.",
             "struct NearTable {", "  double centre, slope;", "  llvm::ArrayRef<double> c;", "};",
             "/// A polynomial in slope / (y + shift) - offset, for y from kNear on.", "struct TailTable {", "  double shift, slope, offset;",
             "  llvm::ArrayRef<double> c;", "};", "", f"inline constexpr double kNear = {float(NEAR).hex()};"]
    for name, value in constants():
        lines.append(f"inline constexpr double k{name} = {value.hex()};")
    lines.append("")
    for name, comment, c, error in polynomials():
        lines += [f"// {comment}; error {error:.1e}", f"inline constexpr double k{name}[] = {{{numbers(c)}}};"]

    def table(kind, name, comment, head, c, error):
        lines.extend([f"// {comment}; error {error:.1e}", f"inline constexpr double k{name}C[] = {{{numbers(c)}}};",
                      f"inline constexpr {kind} k{name} = {{{', '.join(x.hex() for x in head)}, k{name}C}};"])

    centre, c, error = nearTable(lambda y: normalUpTo(-y), lambda y: 1 / normalUpTo(-y), 1.18, 11)
    table("NearTable", "NormalNear", "Phi(-y)", [centre, 0.36], c, error)
    shift, slope, offset, c, error = tailTable(lambda y: y * scaledTail(y), lambda y: 1 / (y * scaledTail(y)), 1.5, 14.6, 8)
    table("TailTable", "NormalTail", "y Phi(-y) exp(y^2/2)", [shift, slope, offset], c, error)
    larger = lambda y: max(normalUpTo(-y), y * density(y))
    centre, c, error = nearTable(lambda y: normalUpTo(-y) - y * density(y), lambda y: 1 / larger(y), 0.9, 11)
    table("NearTable", "GeluGradNear", "Phi(-y) - y phi(y), against the larger of the two", [centre, 0.75], c, error)
    peak = 1 / sqrt(2 * pi)
    shift, slope, offset, c, error = tailTable(lambda y: peak - scaledTail(y) / y, lambda y: 1 / peak, 1, 14.9, 8)
    table("TailTable", "GeluGradTail", "phi(0) - Phi(-y) exp(y^2/2) / y, against phi(0)", [shift, slope, offset], c, error)
    return "\n".join(lines + ["", "} // namespace moec::codegen::cpu::single", ""])


if __name__ == "__main__":
    (Path(__file__).parent / "cpu/CoefficientsF32.h").write_text(header())
