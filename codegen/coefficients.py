#!/usr/bin/env python3
"""Makes cpu/Coefficients.h and cuda/skeletons/coefficients.cuh: polynomials of least largest relative error for VectorMathF64.cpp and math.cuh.

Needs mpmath 1.3. Each polynomial p of degree n is found by Remez exchange in 60 digits, minimising max |p(x) - f(x)| * w(x)
over an interval, where w = 1/|f| gives the relative error. GELU and its derivative have polynomials of the CPU's own.

    python3 codegen/coefficients.py
"""
import struct
from pathlib import Path
from mpmath import mp, mpf, matrix, lu_solve, exp, log, erf, erfc, sqrt, pi, tanh, expm1

mp.dps = 70


def solve(f, weight, powers, nodes):
    """Coefficients of `powers` and the levelled error at the nodes."""
    count = len(powers)
    a = matrix(count + 1, count + 1)
    b = matrix(count + 1, 1)
    for i, x in enumerate(nodes):
        for j, power in enumerate(powers):
            a[i, j] = x ** power if power else mpf(1)
        a[i, count] = (-1) ** i / weight(x)
        b[i] = f(x)
    result = lu_solve(a, b)
    return [result[j] for j in range(count)], abs(result[count])


def remez(f, weight, powers, low, high, samples=1200):
    """Exchange until the error's extrema are level."""
    count = len(powers)
    nodes = [(low + high) / 2 - (high - low) / 2 * mp.cos(pi * i / count) for i in range(count + 1)]
    grid = [(low + high) / 2 - (high - low) / 2 * mp.cos(pi * i / samples) for i in range(samples + 1)]
    values = [f(x) for x in grid]
    weights = [weight(x) for x in grid]
    worst = None
    for _ in range(30):
        c, level = solve(f, weight, powers, nodes)
        errors = [(sum(cj * (x ** p if p else 1) for cj, p in zip(c, powers)) - v) * w
                  for x, v, w in zip(grid, values, weights)]
        worst = max(abs(e) for e in errors)
        # The largest error of each run of one sign.
        extrema = []
        for x, e in zip(grid, errors):
            if extrema and (extrema[-1][1] > 0) == (e > 0):
                if abs(e) > abs(extrema[-1][1]):
                    extrema[-1] = (x, e)
            else:
                extrema.append((x, e))
        while len(extrema) > count + 1:
            extrema.pop(0 if abs(extrema[0][1]) < abs(extrema[-1][1]) else -1)
        if len(extrema) < count + 1:
            break
        nodes = [x for x, _ in extrema]
        if worst < level * mpf("1.02"):
            break
    return c, worst


def rounded(x, bits):
    """x to nearest with `bits` of significand."""
    if x == 0:
        return mpf(0)
    with mp.workprec(bits):
        return +x


def fit(f, low, high, degree, bits):
    """Coefficients c[0..degree], each rounded to `bits`, and the error before that."""
    c, worst = remez(f, lambda x: 1 / abs(f(x)), list(range(degree + 1)), mpf(low), mpf(high))
    return [rounded(v, bits) for v in c], worst


def table(name, comment, f, low, high, degree32, degree64):
    """The same polynomial for both formats: (name, format, comment, coefficients)."""
    tables = []
    for suffix, degree, bits in (("F32", degree32, 24), ("F64", degree64, 53)):
        coefficients, worst = fit(f, low, high, degree, bits)
        tables.append((name, suffix, f"{comment}; error {mp.nstr(worst, 2)}", [float(c) for c in coefficients]))
    return tables


def split(value, bits):
    """value as a head of `bits` bits and the rest as a double."""
    head = rounded(value, bits)
    return float(head), float(value - head)


def continued(f, at):
    """f with its limit at 0."""
    return lambda x: at if abs(x) < mpf(10) ** -15 else f(x)


def erfcScaled(x):
    """exp(x^2) erfc(x)."""
    return exp(x * x) * erfc(x)


def tables():
    half = log(mpf(2)) / 2 * mpf("1.0001")
    s = (sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1)
    # t takes [0, 28] to a bounded interval where the function is smooth.
    forward = lambda x: (mpf(x) - 2) / (mpf(x) + 2)
    back = lambda t: 2 * (1 + t) / (1 - t)
    return (
        table("Exp", "(exp(r) - 1 - r) / r^2, |r| <= ln 2 / 2",
              continued(lambda r: (expm1(r) - r) / r**2, mpf(1) / 2), -half, half, 4, 10)
        + table("Log", "(2 atanh(s) - 2s) / s^3 of z = s^2, |s| <= 0.1716",
                continued(lambda z: (2 * mp.atanh(sqrt(z)) / sqrt(z) - 2) / z, mpf(2) / 3), 0, s * s * mpf("1.001"), 2, 6)
        + table("Erf", "(erf(x) / x - 2 / sqrt(pi)) / z of z = x^2, |x| <= 1",
                continued(lambda z: (erf(sqrt(z)) / sqrt(z) - 2 / sqrt(pi)) / z, -2 / (3 * sqrt(pi))), 0, 1, 5, 11)
        + table("Tanh", "(tanh(x) / x - 1) / z of z = x^2, |x| <= 0.625",
                continued(lambda z: (tanh(sqrt(z)) / sqrt(z) - 1) / z, mpf(-1) / 3), 0, mpf("0.625")**2, 4, 10)
        + table("Erfc", "(x + 2) exp(x^2) erfc(x) of t = (x - 2) / (x + 2), x in [0, 28]",
                lambda t: (back(t) + 2) * erfcScaled(back(t)), forward(0), forward(28), 11, 25))


def density(x):
    return exp(-x * x / 2) / sqrt(2 * pi)


def normalUpTo(x):
    return erfc(-x / sqrt(mpf(2))) / 2


def scaledTail(y):
    """Phi(-y) exp(y^2/2)."""
    return exp(y * y / 2) * normalUpTo(-y)


def nearTables():
    """(name, comment, coefficients): (f(x) - (1 + x) / 2) / x of z = x^2, absolutely."""
    peak = density(mpf(0))
    for name, comment, f, limit, degree in (("NormalNear", "Phi(x)", normalUpTo, peak - mpf(1) / 2, 9),
                                            ("GeluGradNear", "Phi(x) + x phi(x)", lambda x: normalUpTo(x) + x * density(x), 2 * peak - mpf(1) / 2, 10)):
        part = lambda z: limit if z < mpf(10) ** -20 else (f(sqrt(z)) - (1 + sqrt(z)) / 2) / sqrt(z)
        c, worst = remez(part, lambda z: 1, list(range(degree + 1)), mpf(0), mpf(1))
        yield name, f"({comment} - (1 + x) / 2) / x of z = x^2, |x| <= 1; error {mp.nstr(worst, 2)}", [float(rounded(v, 53)) for v in c]


def tailTables():
    """(name, comment, shift, slope, offset, coefficients): f(y) of t = slope / (y + shift) - offset, in about [-1, 1]. The offset makes f(y) at t = 0 almost
    an f64, so that rounding the first coefficient costs nothing."""
    peak = density(mpf(0))
    for name, comment, f, shift, degree in (("NormalTail", "y Phi(-y) exp(y^2/2)", lambda y: y * scaledTail(y), mpf("1.5"), 25),
                                            ("GeluGradTail", "phi(0) - Phi(-y) exp(y^2/2) / y", lambda y: peak - scaledTail(y) / y, mpf("1.25"), 24)):
        low, high = 1 / (39 + shift), 1 / (1 + shift)
        slope = mp.nint(8 / (high - low)) / 4
        middle = mp.nint(slope * (low + high) * 32) / 64
        distance = lambda offset: abs(1 - rounded(f(slope / offset - shift), 53) / f(slope / offset - shift))
        offset = min((middle + i * mpf(2) ** -30 for i in range(300)), key=distance)
        of = lambda t: f(slope / (t + offset) - shift)
        c, worst = remez(of, lambda t: 1 / of(t), list(range(degree + 1)), slope * low - offset, slope * high - offset)
        head = [float(v) for v in (shift, slope, offset)]
        yield name, f"{comment}, y in [1, 39]; error {mp.nstr(worst, 2)}", *head, [float(rounded(v, 53)) for v in c]


def cpuConstants():
    """(name, head, rest) of numbers in two parts."""
    linear = 2 * sqrt(2 / pi)
    cubic = linear * mpf(0.044715)  # the f64
    return [("Linear", *split(linear, 53)), ("Cubic", *split(cubic, 53)), ("LinearShort", *split(linear, 41)), ("CubicShort", *split(cubic, 17)),
            ("TwoOverSqrtPiLessOne", *split(2 / sqrt(pi) - 1, 53))]


def constants():
    """(name, format, head, rest) of numbers in two parts."""
    result = []
    for name, value in (("Ln2", log(mpf(2))), ("TwoOverSqrtPi", 2 / sqrt(pi)), ("SqrtHalf", sqrt(mpf(1) / 2)),
                        ("InverseLn2", 1 / log(mpf(2))), ("SqrtTwoOverPi", sqrt(2 / pi))):
        for suffix, bits in (("F32", 24), ("F64", 53)):
            result.append((name, suffix, *split(value, bits)))
    # Heads short enough that their product with an exponent is exact.
    for suffix, bits in (("F32", 15), ("F64", 41)):
        result.append(("Ln2Short", suffix, *split(log(mpf(2)), bits)))
    return result


def numbers(c):
    return ",\n    ".join(", ".join(x.hex() for x in c[i:i + 4]) for i in range(0, len(c), 4))


def header(tables, constants):
    lines = ["#pragma once", "// Polynomials for VectorMathF64.cpp, lowest power first. Made by codegen/coefficients.py, not by hand.", "",
             '#include "llvm/ADT/ArrayRef.h"', "", "namespace moec::codegen::cpu {", "",
             "/// A polynomial in slope / (y + shift) - offset, for y from 1 on.", "struct TailTableF64 {", "  double shift, slope, offset;",
             "  llvm::ArrayRef<double> c;", "};", ""]
    for name, suffix, comment, coefficients in (t for t in tables if t[1] == "F64"):
        lines += [f"// {comment}", f"inline constexpr double k{name}{suffix}[] = {{\n    {numbers(coefficients)}}};"]
    for name, comment, coefficients in nearTables():
        lines += [f"// {comment}", f"inline constexpr double k{name}F64[] = {{\n    {numbers(coefficients)}}};"]
    for name, comment, shift, slope, offset, coefficients in tailTables():
        lines += [f"// {comment}", f"inline constexpr double k{name}CF64[] = {{\n    {numbers(coefficients)}}};",
                  f"inline constexpr TailTableF64 k{name}F64 = {{{shift.hex()}, {slope.hex()}, {offset.hex()}, k{name}CF64}};"]
    lines.append("")
    wanted = ("Ln2", "SqrtHalf", "InverseLn2", "Ln2Short")
    for name, head, rest in [(c[0], *c[2:]) for c in constants if c[1] == "F64" and c[0] in wanted] + cpuConstants():
        lines.append(f"inline constexpr double k{name}F64 = {head.hex()}, k{name}RestF64 = {rest.hex()};")
    return "\n".join(lines + ["", "} // namespace moec::codegen::cpu", ""])


def skeleton(tables, constants):
    lines = ["#pragma once", '#include "polynomial.cuh"', "// Polynomials and numbers of math.cuh. Made by codegen/coefficients.py, not by hand.", "",
             "namespace math {", "", "template <class T> struct Table;"]
    for suffix, type in (("F32", "float"), ("F64", "double")):
        number = lambda x: rounded32(x).hex() + "f" if suffix == "F32" else x.hex()
        lower = lambda name: name[0].lower() + name[1:]
        lines += ["", f"template <> struct Table<{type}> {{"]
        for name, _, comment, coefficients in (t for t in tables if t[1] == suffix):
            digits = ",\n        ".join(", ".join(map(number, coefficients[i:i + 4])) for i in range(0, len(coefficients), 4))
            lines += [f"  // {comment}", f"  static __device__ __forceinline__ {type} {lower(name)}({type} x) {{",
                      f"    constexpr {type} c[] = {{\n        {digits}}};", "    return polynomial(c, x);", "  }"]
        for name, _, head, rest in (c for c in constants if c[1] == suffix):
            lines.append(f"  static constexpr {type} {lower(name)} = {number(head)}, {lower(name)}Rest = {number(rest)};")
        lines.append("};")
    return "\n".join(lines + ["", "} // namespace math", ""])


def rounded32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


if __name__ == "__main__":
    folder = Path(__file__).parent
    tables, constants = tables(), constants()
    (folder / "cpu/Coefficients.h").write_text(header(tables, constants))
    (folder / "cuda/skeletons/coefficients.cuh").write_text(skeleton(tables, constants))
