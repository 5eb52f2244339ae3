#!/usr/bin/env python3
"""The orders that tests/data/OrderTest.cpp expects, by Philox 4x32-10 written out a second time. No packages."""


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


assert philox([0, 0, 0, 0], 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]  # of Random123's known answers


def below(bound, seed, epoch, place):
    attempt = 0
    while True:
        words = philox([place & 0xFFFFFFFF, place >> 32, stream("data.order") + attempt, epoch], seed)
        bits = words[0] << 32 | words[1]
        if bits >= 2**64 % bound:
            return bits % bound
        attempt += 1


def order(size, seed, epoch):
    result = list(range(size))
    for i in range(size, 1, -1):
        j = below(i, seed, epoch, i - 1)
        result[i - 1], result[j] = result[j], result[i - 1]
    return result


for size, seed, epoch in [(10, 0, 0), (10, 0, 1), (10, 1, 0), (10, 0xFEDCBA9876543210, 70000)]:
    print(size, seed, epoch, order(size, seed, epoch))
