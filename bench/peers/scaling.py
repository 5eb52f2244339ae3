#!/usr/bin/env python3
"""moec on several threads against moec on one, beside what the machine's own units gain: [python] bench/peers/scaling.py [--work NAME]... [--threads N] [--rounds N] ; see README.md.

Each work runs in a process of its own. A round takes moec, the loop of multiply-adds and the reading of memory, each on one thread and on several, one behind the other; the next round in
the opposite order. All times are the wall's. Prints a table, and writes all rounds to --out.
"""
import argparse
import fnmatch
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
USUAL = ["s1-*", "s2-t64-*", "s3-*", "s4-*", "batched-e4-*", "vit-moe-b64-train"]
HEAD = """| Work | ms on one | ms on {threads} | moec gains | multiply-adds gain | reading gains | bound by | **share of its bound's gain** (quartiles) | least | rounds |
|---|---|---|---|---|---|---|---|---|---|"""


def rounds_of(name, arguments):
    """In a process of its own: [{side: {threads: seconds of a call, or a rate}}] of the work, and what binds it."""
    import torch
    from measure import Clock, Limits, prepare
    from moec_library import Call, Library
    from works import WORKS
    torch.set_num_threads(1)
    work, counts = WORKS[name], (1, arguments.threads)
    arguments.work = arguments.folder
    program, weights = prepare(work, arguments)
    library, inputs, clock = Library(arguments.build / "lib" / "libmoec_runtime.so"), work.inputs(), Clock(wall=True)
    doubles = work.json().get("dtype") == "f64"
    limits = {n: Limits(arguments.build, n, doubles, wall=True) for n in counts}
    calls = {n: Call(library, program, weights, inputs, n, work.training, work.rate()) for n in counts}
    turns = {n: clock.trial(calls[n])[0] for n in counts}

    def rate(n):
        limits[n].take()
        return limits[n].fma[-1], limits[n].read[-1]

    steps = [(side, n) for side in ("moec", "limits") for n in counts]
    rounds = []
    for i in range(arguments.rounds):
        taken = {"moec": {}, "limits": {}}
        for side, n in steps if i % 2 == 0 else reversed(steps):
            taken[side][n] = clock.turn(calls[n], turns[n]) if side == "moec" else rate(n)
        rounds.append({"moec": taken["moec"], "fma": {n: taken["limits"][n][0] for n in counts}, "read": {n: taken["limits"][n][1] for n in counts}})
    print(json.dumps({"work": name, "threads": arguments.threads, "flops": work.flops, "read_bytes": work.read, "rounds": rounds}))


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"low": low, "median": middle, "high": high, "least": min(values)}


def summary(row):
    """The gains of each round, and moec's as a share of that of its bound: what takes longer of the work's multiply-adds and its reading of weights, at one thread's best rates."""
    n, rounds = str(row["threads"]), row["rounds"]
    gains = {"moec": [r["moec"]["1"] / r["moec"][n] for r in rounds]} | {side: [r[side][n] / r[side]["1"] for r in rounds] for side in ("fma", "read")}
    seconds = {"fma": row["flops"] / max(r["fma"]["1"] for r in rounds), "read": row["read_bytes"] / max(r["read"]["1"] for r in rounds)}
    bound = max(seconds, key=seconds.get)
    shares = [ours / its for ours, its in zip(gains["moec"], gains[bound])]
    times = {k: statistics.median(r["moec"][k] for r in rounds) for k in ("1", n)}
    return {"bound": bound, "times": times, "gains": {side: quartiles(values) for side, values in gains.items()}, "share": quartiles(shares)}


def line(row):
    found, n = row["summary"], str(row["threads"])
    gain = {side: f"{value['median']:.2f}" for side, value in found["gains"].items()}
    share = found["share"]
    return (f"| {row['work']} | {found['times']['1'] * 1e3:.3g} | {found['times'][n] * 1e3:.3g} | {gain['moec']} | {gain['fma']} | {gain['read']} "
            f"| {'multiply-adds' if found['bound'] == 'fma' else 'reading'} | **{share['median']:.2f}** ({share['low']:.2f} - {share['high']:.2f}) | {share['least']:.2f} | {len(row['rounds'])} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", action="append", help=f"a work's name, or a pattern; may be given several times (default: {' '.join(USUAL)})")
    parser.add_argument("--threads", type=int, default=2, help="beside one (default 2)")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="moec's build, with MOEC_BENCH (default build)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "moec-peers", help="for models, weights and compiled programs, as run has it")
    parser.add_argument("--out", type=Path, help="a file of JSON")
    parser.add_argument("--inside", help=argparse.SUPPRESS)  # the work whose process this is
    arguments = parser.parse_args()
    if arguments.threads < 2 or arguments.rounds < 2:
        sys.exit("--threads and --rounds are at least 2: one thread is compared with several, and quartiles need rounds")
    arguments.build = arguments.build.resolve()
    if arguments.inside:
        return rounds_of(arguments.inside, arguments)

    listed = subprocess.run([sys.executable, HERE / "run", "--list"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    patterns = arguments.work or USUAL
    chosen = [name for name in listed if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not chosen:
        sys.exit(f"no work is called {', '.join(patterns)}; known: {', '.join(listed)}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(HEAD.format(threads=arguments.threads), flush=True)
    rows = []
    for name in chosen:
        command = [sys.executable, __file__, "--inside", name, "--threads", str(arguments.threads), "--rounds", str(arguments.rounds), "--build", arguments.build, "--folder", arguments.folder]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}).stdout.splitlines()[-1])
        row["summary"] = summary(row)
        rows.append(row)
        print(line(row), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
