#!/usr/bin/env python3
"""Works out again, from the PTX manual's pseudocode with integers and fractions, what every vector of one instruction has as its result.

Knows nothing of the emulator: a result that the emulator and the file share by mistake is found here. Sections are those of the PTX ISA 9.0 manual.
usage: recompute.py FILE...   (no output: all agree)
"""

import math
import sys
from fractions import Fraction
from pathlib import Path

WIDTH = {"b8": 8, "b16": 16, "b32": 32, "b64": 64, "f32": 32, "f64": 64, "f16": 16, "bf16": 16}
for size in (8, 16, 32, 64):
    WIDTH[f"s{size}"] = WIDTH[f"u{size}"] = size
FORMATS = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52), "tf32": (8, 10)}
# NaNs that the manual calls canonical; f64's is not compared.
CANONICAL = {"f16": 0x7FFF, "bf16": 0x7FFF, "f32": 0x7FFFFFFF, "f64": 0x7FF8000000000000}
APPROXIMATE = {"sin", "cos", "lg2", "ex2", "tanh", "rsqrt"}


def signed(bits, width):
    bits &= (1 << width) - 1
    return bits - (1 << width) if bits >> (width - 1) else bits


def value_of(bits, type_):
    width = WIDTH[type_]
    return signed(bits, width) if type_[0] == "s" else bits & ((1 << width) - 1)


# --- numbers: ("nan",), ("inf", sign), ("num", sign, magnitude as a Fraction) ---
def decode(bits, form):
    exponent_bits, fraction_bits = FORMATS[form]
    sign = bits >> (exponent_bits + fraction_bits) & 1
    exponent, fraction = bits >> fraction_bits & ((1 << exponent_bits) - 1), bits & ((1 << fraction_bits) - 1)
    bias = (1 << (exponent_bits - 1)) - 1
    if exponent == (1 << exponent_bits) - 1:
        return ("nan",) if fraction else ("inf", sign)
    if exponent == 0:
        return ("num", sign, Fraction(fraction) * Fraction(2) ** (1 - bias - fraction_bits))
    return ("num", sign, (Fraction(fraction) + (1 << fraction_bits)) * Fraction(2) ** (exponent - bias - fraction_bits))


def encode(number, form, rounding="rn", finite=False):
    exponent_bits, fraction_bits = FORMATS[form]
    top = (1 << exponent_bits) - 1
    if number[0] == "nan":
        return CANONICAL[form]
    sign_bit = number[1] << (exponent_bits + fraction_bits)
    if number[0] == "inf":
        return sign_bit | top << fraction_bits
    sign, magnitude = number[1], number[2]
    if magnitude == 0:
        return sign_bit
    bias = (1 << (exponent_bits - 1)) - 1
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    exponent = max(exponent, 1 - bias)  # below: subnormal
    scaled = magnitude / Fraction(2) ** (exponent - fraction_bits)
    whole = scaled.numerator // scaled.denominator
    rest = scaled - whole
    up = {"rn": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole & 1), "rna": rest >= Fraction(1, 2), "rz": False,
          "rp": rest > 0 and not sign, "rm": rest > 0 and sign}[rounding]
    whole += bool(up)
    if whole >> (fraction_bits + 1):
        whole >>= 1
        exponent += 1
    if exponent > bias:  # overflow: the mode says whether to infinity or to the greatest number
        if finite or rounding == "rz" or (rounding == "rp" and sign) or (rounding == "rm" and not sign):
            return sign_bit | (top << fraction_bits) - 1
        return sign_bit | top << fraction_bits
    if whole >> fraction_bits:
        return sign_bit | (exponent + bias) << fraction_bits | whole & ((1 << fraction_bits) - 1)
    return sign_bit | whole


def from_signed(value, zero_sign=0):
    return ("num", int(value < 0) if value else zero_sign, abs(Fraction(value)))


def real(number):
    return -number[2] if number[1] else number[2]


def flushed(number, form):
    """.ftz: subnormal numbers become zeros of their sign."""
    exponent_bits, _ = FORMATS[form]
    smallest = Fraction(2) ** (2 - (1 << (exponent_bits - 1)))
    return ("num", number[1], Fraction(0)) if number[0] == "num" and number[2] < smallest else number


def is_zero(number):
    return number[0] == "num" and number[2] == 0


def product(a, b):
    if a[0] == "nan" or b[0] == "nan" or (a[0] == "inf" and is_zero(b)) or (b[0] == "inf" and is_zero(a)):
        return ("nan",)
    sign = a[1] ^ b[1]
    return ("inf", sign) if "inf" in (a[0], b[0]) else ("num", sign, a[2] * b[2])


def total(a, b, rounding):
    if a[0] == "nan" or b[0] == "nan" or (a[0] == b[0] == "inf" and a[1] != b[1]):
        return ("nan",)
    if a[0] == "inf" or b[0] == "inf":
        return a if a[0] == "inf" else b
    if is_zero(a) and is_zero(b) and a[1] == b[1]:
        return a
    return from_signed(real(a) + real(b), int(rounding == "rm"))


def quotient(a, b):
    if a[0] == "nan" or b[0] == "nan" or (a[0] == b[0] == "inf") or (is_zero(a) and is_zero(b)):
        return ("nan",)
    sign = a[1] ^ b[1]
    if a[0] == "inf" or is_zero(b):
        return ("inf", sign)
    return ("num", sign, Fraction(0) if b[0] == "inf" else a[2] / b[2])


def root(a):
    if a[0] == "nan" or (a[1] and not is_zero(a)):
        return ("nan",)
    if a[0] == "inf" or is_zero(a):
        return a
    scaled = a[2] * Fraction(4) ** 400  # far more bits than any format keeps; what is lost counts as a quarter of the last
    whole = math.isqrt(scaled.numerator // scaled.denominator)
    exact = Fraction(whole) ** 2 == scaled
    return ("num", 0, (whole + (0 if exact else Fraction(1, 4))) / Fraction(2) ** 400)


def negated(a):
    return a if a[0] == "nan" else (a[0], 1 - a[1]) + a[2:]


def less(a, b):
    """-0 < +0, as min and max have it."""
    order = lambda n: (-1 if n[1] else 1, Fraction(0)) if n[0] == "inf" else (0, real(n))
    return (order(a), -a[1]) < (order(b), -b[1])


def clamped(number):
    """.sat: into [0, 1], NaN to +0."""
    if number[0] == "nan" or (number[1] and number[0] != "nan"):
        return ("num", 0, Fraction(0))
    return ("num", 0, Fraction(1)) if number[0] == "inf" or number[2] > 1 else number


def to_integer(number, how):
    value = real(number)
    floor = value.numerator // value.denominator
    if how == "rmi" or value == floor:
        return floor
    if how == "rpi":
        return floor + 1
    if how == "rzi":
        return floor + (value < 0)
    rest = value - floor
    return floor + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor & 1))


# --- instructions ---
def floating(name, words, form, inputs):
    """add sub mul fma mad div rcp sqrt abs neg min max of one number; the result's bits."""
    ftz = "ftz" in words
    a = [flushed(decode(x, form), form) if ftz else decode(x, form) for x in inputs]
    rounding = next((w for w in ("rn", "rz", "rm", "rp") if w in words), "rn")
    if name == "abs":
        made = a[0] if a[0][0] == "nan" else (a[0][0], 0) + a[0][2:]
    elif name == "neg":
        made = negated(a[0])
    elif name == "add":
        made = total(a[0], a[1], rounding)
    elif name == "sub":
        made = total(a[0], negated(a[1]), rounding)
    elif name == "mul":
        made = product(a[0], a[1])
    elif name in ("fma", "mad"):
        made = total(product(a[0], a[1]), a[2], rounding)
    elif name == "div":
        tiny = "approx" in words and a[1][0] == "num" and a[1][2] > Fraction(2) ** 126  # of 9.7.3.8
        made = product(a[0], ("num", a[1][1], Fraction(0))) if tiny else quotient(a[0], a[1])
    elif name == "rcp":
        made = quotient(("num", 0, Fraction(1)), a[0])
    elif name == "sqrt":
        made = root(a[0])
    else:  # 9.7.3.11, 9.7.3.12
        if a[0][0] == "nan" or a[1][0] == "nan":
            made = ("nan",) if "NaN" in words or a[0][0] == a[1][0] else a[1] if a[0][0] == "nan" else a[0]
        else:
            made = a[0] if less(a[0], a[1]) == (name == "min") else a[1]
    bits = encode(made, form, rounding)
    if ftz:
        bits = encode(flushed(decode(bits, form), form), form)
    if "sat" in words:
        bits = encode(clamped(decode(bits, form)), form)
    if "relu" in words and decode(bits, form)[0] != "nan" and bits >> (WIDTH.get(form, 32) - 1):
        bits = 0
    return bits


def compare(words, type_, a, b):
    """9.3.1: the comparison operators."""
    op = next(w for w in words if w in ("eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu num nan".split()))
    if type_ in FORMATS:
        a, b = decode(a, type_), decode(b, type_)
        if "ftz" in words:
            a, b = flushed(a, type_), flushed(b, type_)
        unordered = a[0] == "nan" or b[0] == "nan"
        if op in ("num", "nan"):
            return (op == "nan") == unordered
        if unordered:
            return op.endswith("u")
        infinite = lambda n: (-1 if n[1] else 1, Fraction(0)) if n[0] == "inf" else (0, real(n))
        a, b, op = infinite(a), infinite(b), op[:2]
    else:
        a, b = value_of(a, type_), value_of(b, type_)
        op = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}.get(op, op)
    return {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[op]


def combined(words, t, c):
    if c is None:
        return t
    return {"and": t and c, "or": t or c, "xor": t != c}[next(w for w in words if w in ("and", "or", "xor"))]


def convert_one(words, to, source, bits):
    """9.7.9.21 for one number: the bits, as wide as `to`."""
    ftz = "ftz" in words
    if source in FORMATS:
        number = decode(bits & ((1 << WIDTH[source]) - 1), source)
        if ftz and source == "f32":
            number = flushed(number, source)
        integral = next((w for w in ("rni", "rzi", "rmi", "rpi") if w in words), None)
        if to in FORMATS:
            if integral and number[0] == "num":
                number = from_signed(to_integer(number, integral), number[1])
            made = encode(number, to, next((w for w in ("rn", "rna", "rz", "rm", "rp") if w in words), "rn"), "satfinite" in words)
            if ftz and to == "f32":
                made = encode(flushed(decode(made, to), to), to)
            if "sat" in words:
                made = encode(clamped(decode(made, to)), to)
            if "relu" in words and decode(made, to)[0] != "nan" and made >> (WIDTH[to] - 1):
                made = 0
            return made
        width = WIDTH[to]
        if number[0] == "nan":
            return 1 << (width - 1) if source == "f64" or width == 64 else 0
        low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if to[0] == "s" else (0, (1 << width) - 1)
        whole = (low if number[1] else high) if number[0] == "inf" else to_integer(number, integral)
        return min(max(whole, low), high) & ((1 << width) - 1)
    value = value_of(bits, source)
    if to in FORMATS:
        return encode(from_signed(value), to, next(w for w in ("rn", "rz", "rm", "rp") if w in words))
    width = WIDTH[to]
    if "sat" in words:
        low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if to[0] == "s" else (0, (1 << width) - 1)
        value = min(max(value, low), high)
    return value & ((1 << width) - 1)


def convert(words, registers, inputs):
    types = [w for w in words if w in WIDTH or w in ("f16x2", "bf16x2", "tf32")]
    to, source = types[0], types[1]
    if to in ("f16x2", "bf16x2"):
        high, low = (convert_one(words, to[:-2], source, x) for x in inputs)
        return high << 16 | low
    if to == "tf32":
        number = decode(inputs[0], "f32")
        return encode(number, "tf32", "rna") << 13
    bits = convert_one(words, to, source, inputs[0])
    return value_of(bits, to) & ((1 << WIDTH[registers[0]]) - 1) if to[0] == "s" else bits


def byte(x, i):
    return x >> (8 * i) & 0xFF


def permute(mode, a, b, c):
    """9.7.9.7"""
    both = b << 32 | a
    c3 = c & 3
    table = {"f4e": lambda i: c3 + i, "b4e": lambda i: (c3 - i) & 7, "rc8": lambda i: c3, "ecl": lambda i: max(c3, i), "ecr": lambda i: min(c3, i),
             "rc16": lambda i: (c3 & 1) * 2 + (i & 1)}
    made = 0
    for i in range(4):
        if mode:
            picked = byte(both, table[mode](i))
        else:
            control = c >> (4 * i) & 0xF
            picked = byte(both, control & 7)
            if control & 8:
                picked = 0xFF if picked & 0x80 else 0
        made |= picked << (8 * i)
    return made


def integer(name, words, type_, inputs):
    """9.7.1 and 9.7.8; exact integers, cut by the caller."""
    width = WIDTH.get(type_, 32)
    all_ones = (1 << width) - 1
    v = [value_of(x, type_) for x in inputs] if type_ in WIDTH and type_ != "pred" else inputs
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    sat = (lambda x: min(max(x, low), high)) if "sat" in words else (lambda x: x)
    half = (lambda t: t >> width) if "hi" in words else (lambda t: t & all_ones if "lo" in words and "sat" not in words else t)
    truncated = lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    if name in ("min", "max") and "x2" not in type_:
        return (min if name == "min" else max)(v[0], v[1])
    simple = {
        "add": lambda: sat(v[0] + v[1]), "sub": lambda: sat(v[0] - v[1]), "mul": lambda: half(v[0] * v[1]),
        "mad": lambda: sat(half(v[0] * v[1]) + (signed(inputs[2], 2 * width) if type_[0] == "s" and "wide" in words else inputs[2] if "wide" in words else v[2])),
        "sad": lambda: v[2] + abs(v[0] - v[1]), "div": lambda: truncated(v[0], v[1]), "rem": lambda: v[0] - truncated(v[0], v[1]) * v[1],
        "abs": lambda: abs(v[0]), "neg": lambda: -v[0], "popc": lambda: bin(v[0]).count("1"), "clz": lambda: width - v[0].bit_length(),
        "brev": lambda: int(format(v[0], f"0{width}b")[::-1], 2), "and": lambda: v[0] & v[1], "or": lambda: v[0] | v[1], "xor": lambda: v[0] ^ v[1],
        "not": lambda: ~v[0], "cnot": lambda: int(v[0] == 0), "shl": lambda: v[0] << min(inputs[1], width), "shr": lambda: v[0] >> min(inputs[1], width),
        "mov": lambda: v[0], "selp": lambda: v[0] if inputs[2] else v[1],
    }
    if name in simple:
        return simple[name]()
    if name in ("mul24", "mad24"):
        a, b = ((signed(x, 24) if type_[0] == "s" else x & 0xFFFFFF) for x in inputs[:2])
        t = a * b >> 16 if "hi" in words else a * b & 0xFFFFFFFF
        return t + inputs[2] if name == "mad24" else t
    if name == "bfind":
        found = (~v[0] if v[0] < 0 else v[0]).bit_length() - 1
        return width - 1 - found if "shiftamt" in words and found >= 0 else found
    if name == "bfe":
        a, pos, length, msb = inputs[0] & all_ones, inputs[1] & 0xFF, inputs[2] & 0xFF, width - 1
        fill = 0 if type_[0] == "u" or not length else a >> min(pos + length - 1, msb) & 1
        return sum(((a >> (pos + i) & 1) if i < length and pos + i <= msb else fill) << i for i in range(width))
    if name == "bfi":
        a, f, pos, length = inputs[0], inputs[1], inputs[2] & 0xFF, inputs[3] & 0xFF
        for i in range(length):
            if pos + i < width:
                f = f & ~(1 << (pos + i)) | (a >> i & 1) << (pos + i)
        return f
    if name == "szext":
        b1, large = inputs[1] & 31, inputs[1] >= 32 and "clamp" in words
        mask = 0 if large else -1 << b1
        sign = b1 and not large and type_ == "s32" and inputs[0] >> (b1 - 1) & 1
        return inputs[0] & ~mask | (mask if sign else 0)
    if name == "bmsk":
        a, b, clamp = inputs[0], inputs[1], "clamp" in words
        a1, b1 = a & 31, b & 31
        mask0 = 0 if clamp and a >= 32 else -1 << a1
        mask1 = 0 if a1 + b1 >= 32 or (clamp and (a >= 32 or b >= 32)) else -1 if b1 == 0 else -1 << (a1 + b1)
        return mask0 & ~mask1
    if name in ("dp4a", "dp2a"):
        kinds = [w for w in words if w in ("s32", "u32")]
        part = lambda x, i, size, kind: signed(x >> (size * i), size) if kind == "s32" else x >> (size * i) & ((1 << size) - 1)
        if name == "dp4a":
            return inputs[2] + sum(part(inputs[0], i, 8, kinds[0]) * part(inputs[1], i, 8, kinds[1]) for i in range(4))
        start = 2 if "hi" in words else 0
        return inputs[2] + sum(part(inputs[0], i, 16, kinds[0]) * part(inputs[1], start + i, 8, kinds[1]) for i in range(2))
    if name == "lop3":
        a, b, c, table = inputs
        return sum((table >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1)) & 1) << i for i in range(32))
    if name == "shf":
        n = min(inputs[2], 32) if "clamp" in words else inputs[2] & 31
        both = inputs[1] << 32 | inputs[0]
        return both << n >> 32 if "l" in words else both >> n
    if name == "prmt":
        return permute(next((w for w in words if w in ("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")), None), *inputs)
    raise KeyError(name)


def approximate(name, form, bits):
    """The exact function, as a double; the special values are those of the manual's tables."""
    number = decode(bits, form)
    x = math.nan if number[0] == "nan" else (-math.inf if number[1] else math.inf) if number[0] == "inf" else float(real(number))
    if name == "rsqrt":
        return (math.copysign(math.inf, -1 if number[1] else 1) if x == 0 else math.nan if not x >= 0 else 0.0 if math.isinf(x) else 1 / math.sqrt(x))
    if name == "lg2":
        return -math.inf if x == 0 else math.nan if not x >= 0 else math.inf if math.isinf(x) else math.log2(x)
    if name == "ex2":
        return math.inf if x > 2000 else 0.0 if x < -2000 else 2.0**x
    if name == "tanh":
        return math.tanh(x)
    return math.nan if not math.isfinite(x) else (math.sin if name == "sin" else math.cos)(x)


def result(opcode, registers, inputs):
    """The bits of the destination register, or for an approximating instruction a float."""
    words = opcode.split(".")
    name = words[0]
    if name == "cvt":
        return convert(words, registers, inputs)
    types = [w for w in words[1:] if w in WIDTH or w in ("pred", "f16x2", "bf16x2")]
    type_ = types[-1]
    if name in ("setp", "set"):
        pred = inputs[2] if len(inputs) > 2 else None
        true = combined(words, compare(words, type_, inputs[0], inputs[1]), pred)
        return int(true) if name == "setp" else 0 if not true else encode(from_signed(1), "f32") if types[0] == "f32" else 0xFFFFFFFF
    if name == "slct":
        c = decode(inputs[2], "f32") if type_ == "f32" else signed(inputs[2], 32)
        return inputs[0] if (c[0] != "nan" and (not c[1] or is_zero(c)) if type_ == "f32" else c >= 0) else inputs[1]
    if name == "testp":
        n = decode(inputs[0], type_)
        small = n[0] == "num" and n[2] and flushed(n, type_)[2] == 0
        return int({"finite": n[0] == "num", "infinite": n[0] == "inf", "number": n[0] != "nan", "notanumber": n[0] == "nan",
                    "normal": n[0] == "num" and not small, "subnormal": bool(small)}[words[1]])
    if name == "copysign":
        top = WIDTH[type_] - 1
        return inputs[0] >> top << top | inputs[1] & ((1 << top) - 1)
    if name in APPROXIMATE:
        form = type_
        if "ftz" in words:
            inputs = [encode(flushed(decode(inputs[0], form), form), form)]
        return approximate(name, form, inputs[0])
    if name in ("mov", "selp"):
        type_ = {"f32": "b32", "f64": "b64", "pred": "b8"}.get(type_, type_)
        return integer(name, words, type_, inputs) & ((1 << WIDTH[type_]) - 1)
    if type_ in ("f16x2", "bf16x2"):
        halves = [floating(name, words, type_[:-2], [x >> shift & 0xFFFF for x in inputs]) for shift in (0, 16)]
        return halves[1] << 16 | halves[0]
    if type_ in FORMATS:
        return floating(name, words, type_, inputs)
    if type_ == "pred":
        type_ = "b8"
        return integer(name, words, type_, inputs) & 1
    width = 2 * WIDTH[type_] if "wide" in words else 32 if name in ("popc", "clz", "bfind") else WIDTH[type_]
    return integer(name, words, type_, inputs) & ((1 << width) - 1)


# --- the files ---
def bits_of(word, register):
    if register in ("f32", "f64") and not word.startswith("0x"):
        value = float(word)
        if math.isnan(value):
            return 0x7FC00000 if register == "f32" else CANONICAL["f64"]
        if math.isinf(value):
            return encode(("inf", int(value < 0)), register)
        return encode(from_signed(Fraction(word), int(word.startswith("-"))), register)
    width = {"imm": 64, "pred": 32}.get(register) or WIDTH[register]
    return int(word, 0) & ((1 << width) - 1)


def problem(text):
    """Why a line's result is not what the manual says; empty when it is."""
    left, inputs, right = (part.split() for part in text.split("|"))
    opcode, registers, wanted = left[0], left[1:], right[0]
    if registers and len(registers) - 1 != len(inputs):
        return "the number of inputs is not that of the registers"
    made = result(opcode, registers, [bits_of(word, register) for word, register in zip(inputs, registers[1:])])
    tolerance = float(right[2]) if len(right) > 1 else 0
    form = registers[0] if registers[0] in ("f32", "f64") else next((w for w in ("bf16", "f16") if w in opcode.split(".")), None)
    if isinstance(made, float):  # an approximating instruction
        expected = bits_of(wanted, registers[0])
        given = decode(expected, form)
        number = math.nan if given[0] == "nan" else (-math.inf if given[1] else math.inf) if given[0] == "inf" else float(real(given))
        smallest = 2.0 ** (2 - (1 << (FORMATS[form][0] - 1))) if ".ftz" in opcode else 0
        same = (math.isnan(made) and math.isnan(number)) or made == number or (number == 0 and abs(made) < smallest)
        if not tolerance and math.isfinite(made) and encode(from_signed(Fraction(made)), form) == expected:
            same = True
        if not same and tolerance:
            same = abs(made - float(wanted)) <= 1e-15 * abs(made) + 1e-300
        return "" if same else f"{made!r}"
    if tolerance:
        given = float(real(decode(bits_of(wanted, registers[0]), form))) if wanted.startswith("0x") else float(wanted)
        return "" if abs(float(real(decode(made, form))) - given) <= tolerance * abs(given) else f"{float(real(decode(made, form)))!r}"
    if wanted == "nan":
        return "" if decode(made, registers[0])[0] == "nan" else hex(made)
    return "" if made == bits_of(wanted, registers[0]) else hex(made)


def main():
    wrong, seen = 0, 0
    for path in map(Path, sys.argv[1:]):
        inside = False
        for number, text in enumerate(path.read_text().splitlines(), 1):
            words = text.split()
            if not words or words[0].startswith("#"):
                continue
            inside = words[0] == "kernel" or (inside and words[0] != "expect")
            if inside or words[0] == "expect":
                continue
            seen += 1
            why = problem(text)
            if why:
                wrong += 1
                print(f"{path.name}:{number}: {text}: the manual's pseudocode gives {why}")
    if seen < 200:
        print(f"only {seen} vectors of one instruction: the files are not where they were looked for")
    sys.exit(wrong > 0 or seen < 200)


if __name__ == "__main__":
    main()
