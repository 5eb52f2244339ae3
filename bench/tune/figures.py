#!/usr/bin/env python3
"""How far the cost model is from tuned schedules: `moec tune --json --tuning off` over models, as a table in Markdown.

    bench/tune/figures.py build/bin/moec -o bench/results/tuning-zen4.md --budget 30s [--threads 1] [--target cpu:x86-64-v3] [MODEL[:tokens[:train]] ..]

A kernel is further behind than 15 % where the end of its interval that is nearer to 1 is, at every size of the call. Without models: the zoo at its check
sizes with steps of training, and bench/peers/models at 1, 64 and 512 tokens. Results of single runs are kept beside the table's file name in *.json lines
when --raw FILE names one, and taken from there again, so that an interrupted run goes on."""

import argparse
import datetime
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def usual_jobs():
    zoo = sorted((ROOT / "models/zoo").glob("*.json"))
    peers = sorted((ROOT / "bench/peers/models").glob("s*.json"))
    jobs = [(path, tokens, False) for path in peers for tokens in ("1", "64", "512")]
    return jobs + [(path, "", train) for path in zoo for train in (False, True)]


def parse_job(text):
    parts = text.split(":")
    return pathlib.Path(parts[0]), parts[1] if len(parts) > 1 else "", "train" in parts[2:]


def run(moec, job, arguments):
    path, tokens, train = job
    command = [moec, "tune", str(path), "--json", "--quiet", "--tuning", "off", "--budget", arguments.budget, "--threads", str(arguments.threads)]
    command += (["--tokens", tokens] if tokens else []) + (["--train"] if train else []) + (["--target", arguments.target] if arguments.target else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{path.stem}: {done.stderr.strip()}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def rows_of(job, result):
    path, tokens, train = job
    name = path.stem + (" step" if train else "") + (f", {tokens} tokens" if tokens else "")
    for kernel in result["kernels"]:
        changed = {k: v for k, v in kernel["schedule"].items() if kernel["cost_model"].get(k) != v}
        before = {k: kernel["cost_model"][k] for k in changed}
        time = max(kernel["times"], key=lambda time: time["high"], default=None)  # of several sizes the one that shows least
        yield {"model": name, "kind": kernel["kind"], "layer": kernel["layer"], "ratio": kernel["ratio"], "tried": kernel["tried"], "before": before,
               "after": changed, "time": time}


def words(schedule):
    return " ".join(f"{name}={value}" for name, value in schedule.items())


def report(results, arguments, version, cpu):
    rows = [row for job, result in results for row in rows_of(job, result)]
    behind = sorted((row for row in rows if row["ratio"] < 1), key=lambda row: row["ratio"])
    far = [row for row in behind if row["time"]["high"] < 1 / 1.15]
    whole = sum(result["whole"] for job, result in results)
    out = [f"# The cost model beside tuned schedules: {cpu}", "",
           f"By `bench/tune/figures.py` on {datetime.date.today()}, moec {version}, {arguments.threads} thread, {arguments.budget} of search for each line of models"
           f"{' for ' + arguments.target if arguments.target else ''}. A kernel counts as behind when the last measurement, 32 turns beside the cost model's "
           "program, shows it with 95 %, and as further behind than 15 % when the nearer end of the interval is.", "",
           f"{len(rows)} kernels of {len(results)} runs, of which {whole} tried all there is, {sum(row['tried'] for row in rows)} candidates measured: "
           f"{len(rows) - len(behind)} as the cost model has them, "
           f"{len(behind) - len(far)} up to 15 % behind, {len(far)} further.", "",
           "| model | kernel | layer | cost model | tuned | ratio | 95 % | the cost model's choice | instead |", "|---|---|---|---|---|---|---|---|---|"]
    for row in behind:
        t = row["time"]
        out.append(f"| {row['model']} | {row['kind']} | {row['layer']} | {t['before'] * 1e6:.1f} us | {t['after'] * 1e6:.1f} us | {row['ratio']:.3f} | "
                   f"{t['low']:.3f} to {t['high']:.3f} | {words(row['before'])} | {words(row['after'])} |")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("moec")
    parser.add_argument("models", nargs="*")
    parser.add_argument("-o", "--output", type=pathlib.Path)
    parser.add_argument("--raw", type=pathlib.Path)
    parser.add_argument("--budget", default="30s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--target", default="", help="the target whose kernels are tuned; the machine's best without")
    arguments = parser.parse_intermixed_args()
    known = {}
    if arguments.raw and arguments.raw.exists():
        for line in arguments.raw.read_text().splitlines():
            entry = json.loads(line)
            known[tuple(entry["job"])] = entry["result"]
    results = []
    for job in [parse_job(text) for text in arguments.models] or usual_jobs():
        name = (job[0].stem, job[1], job[2])
        result = known.get(name) or run(arguments.moec, job, arguments)
        if result is None:
            continue
        if arguments.raw and name not in known:
            with arguments.raw.open("a") as file:
                file.write(json.dumps({"job": name, "result": result}) + "\n")
        results.append((job, result))
        print(f"{name}: {result['tuned']} of {len(result['kernels'])} kernels", file=sys.stderr)
    version = subprocess.run([arguments.moec, "--version"], capture_output=True, text=True).stdout.split("(")[-1].strip(") \n")
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    text = report(results, arguments, version, cpu)
    arguments.output.write_text(text) if arguments.output else print(text, end="")


if __name__ == "__main__":
    main()
