"""One work on some threads, moec and PyTorch in one process: python measure.py WORK --threads N --work DIR [--build DIR] [--pairs N] [--forms A,B] ; prints one JSON object.

PyTorch's forms are tried one by one, checked against moec's results, and the fastest is paired: moec, PyTorch, PyTorch, moec .. so that both meet the same machine. A turn is as many calls as
fill `TURN`, behind one that is not counted and a pause in which the other's threads go to sleep. What counts is the ratio of each pair.
"""
import argparse
import ctypes
import gc
import json
import math
import mmap
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path

import torch
from safetensors.torch import load_file

from moec_library import Call, Library
from works import WORKS, Work

TURN, PAUSE, TRIAL = 0.1, 0.01, 1.0  # seconds


def log(*words):
    print(*words, file=sys.stderr, flush=True)


def large_pages(size):
    """Bytes of ones, in pages of 2 MiB where the system gives them, as moec's weights have them: smaller ones are read slower."""
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=torch.uint8).fill_(1)


class Limits:
    """`wall`: by the wall's time, else by the CPU's."""

    def __init__(self, build, threads, doubles, wall):
        self.c, self.threads, self.doubles, self.wall = ctypes.CDLL(str(build / "lib" / "libbench_limits.so")), threads, doubles, wall
        self.c.moec_bench_fma_rate.restype = self.c.moec_bench_read_rate.restype = self.c.moec_bench_hand_over.restype = ctypes.c_double
        self.memory = large_pages(256 << 20)
        self.fma, self.read, self.hand_over = [], [], []

    def take(self):
        self.fma.append(self.c.moec_bench_fma_rate(self.threads, int(self.wall), int(self.doubles)))
        self.read.append(self.c.moec_bench_read_rate(self.threads, int(self.wall), ctypes.c_void_p(self.memory.data_ptr()), ctypes.c_size_t(len(self.memory))))
        if self.threads > 1:
            self.hand_over.append(self.c.moec_bench_hand_over())

    def seconds(self, work):
        """The more of arithmetic and of reading weights, at the best rates seen."""
        return max(work.flops / max(self.fma), work.read / max(self.read))


def prepare(work, arguments):
    """(program, weights) of moec."""
    folder = arguments.work / work.name
    folder.mkdir(parents=True, exist_ok=True)
    model, program, weights = folder / "model.json", folder / "program.moec", folder / "weights.safetensors"
    model.write_text(json.dumps(work.json(), indent=2) + "\n")
    moec = str(arguments.build / "bin" / "moec")
    subprocess.run([moec, "compile", model, "--target", "cpu", "--tuning", "off", "-q", "-o", program] + (["--train"] if work.training else [])
                   + (["--weights-as", work.weights_as] if work.weights_as else []), check=True, stdout=sys.stderr)
    if not weights.exists():
        subprocess.run([moec, "inspect", model, "--init", "0", "--save-weights", weights, "-q"], check=True, stdout=subprocess.DEVNULL)
    return program, weights


class Clock:
    """On the wall, or the time that the CPU gave the process, which other work on the machine hardly changes."""

    def __init__(self, wall):
        self.now = time.perf_counter if wall else time.process_time

    def seconds(self, call, count=1):
        start = self.now()
        for _ in range(count):
            call()
        return (self.now() - start) / count

    def turn(self, call, count):
        """Seconds of one call."""
        time.sleep(PAUSE)
        call()
        return self.seconds(call, count)

    def trial(self, call):
        """(calls of a turn, seconds of the fastest call)."""
        call()
        times, begun = [], time.perf_counter()
        while len(times) < 3 or (time.perf_counter() - begun < TRIAL and len(times) < 200):
            times.append(self.seconds(call))
        return max(1, int(TURN / min(times))), min(times)


def apart(found, expected):
    """The largest difference, relative to the largest number, over all results. RuntimeError where there is nothing to compare, or a difference is not finite."""
    if not expected:
        raise RuntimeError("gives no result to compare")
    worst = 0.0
    for name, value in expected.items():
        ours = found[name].reshape(value.shape).to(torch.float64)
        difference = float((ours - value.to(torch.float64)).abs().max() / value.abs().max())
        if not math.isfinite(difference):
            raise RuntimeError(f"{name}: results, or their difference, are not finite")
        worst = max(worst, difference)
    return worst


def quartiles(values):
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


class Comparison:
    def __init__(self, work: Work, arguments):
        self.work, self.arguments, self.inputs = work, arguments, work.inputs()
        self.program, self.weights = prepare(work, arguments)
        self.clock = Clock(wall=arguments.threads > 1)

    def moec(self):
        library = Library(self.arguments.build / "lib" / "libmoec_runtime.so")
        return Call(library, self.program, self.weights, self.inputs, self.arguments.threads, self.work.training, self.work.rate())

    def peer(self, form):
        torch._dynamo.reset()
        torch.manual_seed(0)
        return self.work.make(self.work, load_file(self.weights), self.inputs, form)

    def first(self):
        """What moec gives: results, or the losses of its first two steps. Of a session of its own."""
        call = self.moec()
        results = [call.values() for _ in range(2 if self.work.training else 1)]
        call.free()
        return results

    def check(self, peer, expected):
        worst = 0.0
        for values in expected:
            found = peer.run()
            worst = max(worst, apart({name: values[name] for name in found}, found))
        if not worst <= self.work.tolerance:
            raise RuntimeError(f"results differ by {worst:.1e} of the largest")
        return worst

    def forms(self):
        """{form: {"seconds", "apart"} or {"failed"}} of each by itself."""
        expected, found = self.first(), {}
        for form in [form for form in self.work.forms if not self.arguments.forms or form in self.arguments.forms]:
            begun = time.perf_counter()
            try:
                peer = self.peer(form)
                difference = self.check(peer, expected)
                ready = time.perf_counter() - begun
                found[form] = {"seconds": self.clock.trial(peer.run)[1], "apart": difference, "ready": ready}
            except Exception as error:  # noqa: BLE001: a form that does not run is a finding
                log(traceback.format_exc())
                found[form] = {"failed": str(error).strip().splitlines()[0][:200]}
            peer = None
            gc.collect()
            log(self.work.name, form, found[form])
        return found

    def pairs(self, form, limits):
        ours, theirs = self.moec(), self.peer(form)
        (our_count, _), (their_count, _) = self.clock.trial(ours), self.clock.trial(theirs.run)
        pairs = []
        for i in range(self.arguments.pairs):
            limits.take()
            turns = [("moec", lambda: self.clock.turn(ours, our_count)), ("torch", lambda: self.clock.turn(theirs.run, their_count))]
            pairs.append({name: measure() for name, measure in (turns if i % 2 == 0 else reversed(turns))})
        return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_name", choices=WORKS)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--forms", type=lambda text: text.split(","))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True)
    arguments = parser.parse_args()
    work = WORKS[arguments.work_name]
    torch.set_num_threads(arguments.threads)
    comparison = Comparison(work, arguments)
    limits = Limits(arguments.build, arguments.threads, work.json().get("dtype") == "f64", wall=arguments.threads > 1)
    forms = comparison.forms()
    running = {form: entry["seconds"] for form, entry in forms.items() if "seconds" in entry}
    if not running:
        sys.exit(f"{work.name}: none of PyTorch's forms runs: {forms}")
    best = min(running, key=running.get)
    pairs = comparison.pairs(best, limits)
    ratios = sorted(pair["torch"] / pair["moec"] for pair in pairs)
    ours, theirs = ([pair[side] for pair in pairs] for side in ("moec", "torch"))
    print(json.dumps({
        "work": work.name, "threads": arguments.threads, "form": best, "forms": forms, "pairs": pairs, "apart": forms[best]["apart"],
        "ratio": statistics.median(ratios), "ratio_quartiles": quartiles(ratios), "ratio_least": ratios[0], "ratio_most": ratios[-1],
        "moec": {"median": statistics.median(ours), "best": min(ours)}, "torch": {"median": statistics.median(theirs), "best": min(theirs)},
        "flops": work.flops, "read_bytes": work.read, "fma_rate": max(limits.fma), "read_rate": max(limits.read), "limit": limits.seconds(work),
        "hand_over": limits.hand_over,
        "torch_version": torch.__version__, "moec_version": Library(arguments.build / "lib" / "libmoec_runtime.so").c.moec_version().decode(),
    }))


if __name__ == "__main__":
    main()
