#!/usr/bin/env python3
"""The tokens that tests/runtime/SamplingTest.cpp expects: Philox 4x32-10 and sampling written out a second time, in fractions where probabilities are powers of two. No packages."""

from fractions import Fraction


def philox(counter, key):
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(p1 >> 32) ^ counter[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ counter[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return counter


def stream(path):
    code = 2166136261
    for c in path.encode():
        code = ((code ^ c) * 16777619) & 0xFFFFFFFF
    return code


def uniform(seed, sequence, position):
    words = philox([position & 0xFFFFFFFF, position >> 32, stream("sampling"), sequence], seed)
    return Fraction((words[0] << 32 | words[1]) >> 11, 2**53)


def sample(shares, seed, sequence, position, top_k=0, top_p=Fraction(1)):
    order = sorted(range(len(shares)), key=lambda i: (-shares[i], i))
    if top_k:
        order = order[:top_k]
    whole = sum(shares[i] for i in order)
    kept, total = [], Fraction(0)
    for i in order:
        kept.append(i)
        total += shares[i]
        if total >= top_p * whole:
            break
    at, end = uniform(seed, sequence, position) * total, Fraction(0)
    for i in kept:
        end += shares[i]
        if at < end:
            return i


SHARES = [Fraction(1, 8), Fraction(1, 2), Fraction(1, 8), Fraction(1, 4)]
for title, power, options in [("plain", 1, {}), ("temperature 0.5", 2, {}), ("top_k 2", 1, {"top_k": 2}), ("top_k 3", 1, {"top_k": 3}), ("top_p 0.7", 1, {"top_p": Fraction(7, 10)}), ("top_p 0.8", 1, {"top_p": Fraction(4, 5)}), ("top_k 3, top_p 0.8", 1, {"top_k": 3, "top_p": Fraction(4, 5)})]:
    print(title, [sample([s**power for s in SHARES], 7, 0, position, **options) for position in range(24)])
print("seed 8", [sample(SHARES, 8, 0, position) for position in range(24)])
print("sequence 1", [sample(SHARES, 7, 1, position) for position in range(24)])
