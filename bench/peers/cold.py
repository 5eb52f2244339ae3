#!/usr/bin/env python3
"""From nothing to a step of training, moec beside torch.compile: [python] bench/peers/cold.py [--work NAME] [--form FORM+c] [--pairs N] ; see README.md.

Every turn is a process of its own with empty caches. moec's is the whole command `moec compile MODEL --train --target cpu`: for this machine alone, as torch.compile does, and
inference too. Without --target, which makes a program for other machines besides, it is told beside that. PyTorch's time is that of the first step of a module under torch.compile,
less a step of the compiled one; starting Python, importing torch and building the module are told beside it.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def first_steps(name, form, threads, weights):
    """In a process of PyTorch's: the seconds of the first step and of the fastest of five that follow."""
    import torch
    from safetensors.torch import load_file
    from works import WORKS
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    work = WORKS[name]
    peer = work.make(work, load_file(weights), work.inputs(), form)
    times = []
    for _ in range(6):
        begun = time.perf_counter()
        peer.run()
        times.append(time.perf_counter() - begun)
    print(json.dumps({"first": times[0], "step": min(times[1:]), "torch": torch.__version__}))


def wall(command, **more):
    begun = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more)
    return time.perf_counter() - begun, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", default="vit-moe-b64-train")
    parser.add_argument("--form", default="dense+c", help="one of the work's forms, as moec's README of bench/peers lists them, with +c")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--inside", help=argparse.SUPPRESS)  # weights: this is a process of PyTorch's
    arguments = parser.parse_args()
    if arguments.inside:
        return first_steps(arguments.work, arguments.form, arguments.threads, arguments.inside)

    folder = Path(tempfile.mkdtemp(prefix="moec-cold-"))
    try:
        model, weights, moec = folder / "model.json", folder / "weights.safetensors", arguments.build / "bin" / "moec"
        code = "import sys, json; sys.path.insert(0, sys.argv[1]); import works; print(json.dumps(works.WORKS[sys.argv[2]].json()))"
        model.write_text(wall([sys.executable, "-c", code, HERE, arguments.work])[1])
        wall([moec, "inspect", model, "--no-cache", "--init", "0", "--save-weights", weights, "-q"])
        pairs = []
        for i in range(arguments.pairs):
            cache = folder / f"cache-{i}"
            environment = os.environ | {"XDG_CACHE_HOME": str(cache), "MOEC_TUNING": "off", "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
                                        "TRITON_CACHE_DIR": str(cache / "triton"), "OMP_NUM_THREADS": str(arguments.threads)}
            ours = wall([moec, "compile", model, "--train", "--target", "cpu", "-q", "-o", folder / "program.moec"], env=environment)[0]
            shutil.rmtree(cache)
            portable = wall([moec, "compile", model, "--train", "-q", "-o", folder / "program.moec"], env=environment)[0]
            whole, told = wall([sys.executable, __file__, "--work", arguments.work, "--form", arguments.form, "--threads", str(arguments.threads), "--inside", weights],
                               env=environment)
            theirs = json.loads(told.splitlines()[-1])
            pairs.append((ours, theirs["first"] - theirs["step"], portable))
            print(f"moec {ours:.2f} s, without --target {portable:.2f} s; torch {theirs['torch']} {arguments.form}: first step {theirs['first']:.1f} s (then {1e3 * theirs['step']:.1f} ms), "
                  f"whole process {whole:.1f} s; ratio {pairs[-1][1] / ours:.1f}", flush=True)
            shutil.rmtree(cache, ignore_errors=True)
        medians = [statistics.median(column) for column in zip(*pairs)]
        print(f"median of {len(pairs)}: moec {medians[0]:.2f} s, torch {medians[1]:.1f} s, ratio {statistics.median(theirs / ours for ours, theirs, _ in pairs):.1f}; "
              f"moec without --target {medians[2]:.2f} s, ratio {statistics.median(theirs / portable for _, theirs, portable in pairs):.1f}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
