"""Trainings of moec's beside the same ones in PyTorch: python beside_torch.py EXPERIMENT.. --work DIR [--build DIR] [--fastmoe DIR] [--text FILE] [--seeds N] [--nudges N]

Makes the model, trains it by moec, dumps what that began with and read, trains the same by train_torch.py, and prints a line of the table of bench/results/training.md. What a folder of
WORK has already is not done again. With nudges, seed 0 is trained again from weights a last bit away, by both, to see how far a training comes from itself. See README.md.
"""
import argparse
import collections
import json
import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "goldens"))
from golden_case import merge_patch  # noqa: E402

import nudges  # noqa: E402
import regimes  # noqa: E402


@dataclass
class Experiment:
    model: str            # of models/zoo, or a file beside this one
    changes: dict = field(default_factory=dict)  # a merge patch: what leaves nothing to chance, for PyTorch draws other numbers
    data: str = ""        # "text", "regimes" or what ships with moec
    regimes: dict = field(default_factory=dict)  # their sizes
    flags: tuple = ()     # of moec train
    seeds: int = 1
    every: int = 100      # steps between evaluations


EXPERIMENTS = {
    "vit": Experiment("vit", flags=("--steps", "300"), seeds=5),
    "vit-moe": Experiment("vit-moe", {"blocks": {"feed_forward": {"gate": {"random_routing": False}}}}, flags=("--steps", "300"), seeds=5),
    "soft-moe-vit": Experiment("soft-moe-vit", {"dtype": "f64"}, flags=("--steps", "200")),  # its rounding errors grow fast: in f32, or longer, two programs do not stay together
    "switch-lm": Experiment("switch-lm", {"let": {"vocabulary": 2000}, "blocks": {"mixture": {"gate": {"jitter": 0}}}}, "text",
                            flags=("--steps", "240", "--lr", "0.001", "--warmup", "50", "--tokenizer", "sentencepiece:2000"), every=80),
    "gating-lm": Experiment("gating-lm", {"let": {"vocabulary": 2000}}, "text", every=200,
                            flags=("--steps", "200", "--batch", "16", "--lr", "0.001", "--warmup", "50", "--tokenizer", "sentencepiece:2000")),
    "gating-lm-f64": Experiment("gating-lm", {"dtype": "f64", "let": {"vocabulary": 2000}}, "text", every=200,
                                flags=("--steps", "200", "--batch", "16", "--lr", "0.001", "--warmup", "50", "--tokenizer", "sentencepiece:2000")),
    "batched-experts": Experiment("batched-experts", data="regimes", regimes={"dtype": "float64"}, flags=("--steps", "600")),
    "mann": Experiment("mann", data="regimes", flags=("--steps", "600")),
    "hierarchical": Experiment("hierarchical", {"let": {"dim": 32, "hidden": 64}, "blocks": {"mixture": {"gate": {"policy": "all"}}}}, "regimes",
                               {"records": 2000, "tokens": 32, "width": 32, "out": 32}, flags=("--steps", "400", "--batch", "16")),
}


def without_dropout(value):
    """Of a model's JSON; its dropout blocks stay, and drop nothing."""
    if isinstance(value, dict):
        return {key: 0 if key == "dropout" or (key == "p" and value.get("kind") == "dropout") else without_dropout(inner) for key, inner in value.items()}
    return [without_dropout(inner) for inner in value] if isinstance(value, list) else value


def lines_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def unigram_entropy(text, tokenizer):
    """Of the text's tokens, in nats: what a model that knows how often each is would lose on the same text."""
    import sentencepiece
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    counts = collections.Counter(pieces.encode(Path(text).read_text()))
    total = sum(counts.values())
    return -sum(count / total * math.log(count / total) for count in counts.values())


class Run:
    def __init__(self, name, arguments):
        self.name, self.experiment, self.arguments = name, EXPERIMENTS[name], arguments
        self.folder = Path(arguments.work) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = self.folder / "model.json"

    def program(self, name):
        return str(Path(self.arguments.build) / "bin" / name)

    def call(self, *command, out=None):
        print("+", *command, file=sys.stderr, flush=True)
        subprocess.run([str(word) for word in command], check=True, stdout=out or sys.stderr)

    def prepare(self):
        file = HERE / f"{self.experiment.model}.json"
        if not file.exists():
            file = HERE.parents[1] / "models" / "zoo" / f"{self.experiment.model}.json"
        self.model.write_text(json.dumps(without_dropout(merge_patch(json.loads(file.read_text()), self.experiment.changes)), indent=2) + "\n")
        if self.experiment.data == "regimes" and not (self.folder / "data").exists():
            regimes.write(self.folder / "data", **self.experiment.regimes)

    def data(self):
        return {"": [], "text": ["--data", self.arguments.text], "regimes": ["--data", self.folder / "data"]}[self.experiment.data]

    def train_moec(self, seed, out, weights=()):
        if not any(line["kind"] == "finished" for line in lines_of(out / "metrics.jsonl")):
            go_on = ["--resume"] if (out / "train.json").exists() and any((out / "checkpoints").glob("*")) else []
            self.call(self.program("moec"), "train", self.model, "--out", out, "--seed", seed, "--evaluate-every", self.experiment.every, "--threads", self.arguments.threads, "-q",
                      *self.experiment.flags, *self.data(), *weights, *go_on)

    def train(self, seed):
        """By moec; what it is of, in a file for PyTorch."""
        out = self.folder / f"seed-{seed}"
        self.train_moec(seed, out)
        if not (out / "training.safetensors").exists():
            if not (self.folder / "program.moec").exists():
                target = json.loads(sorted((out / "checkpoints").glob("*/training.json"))[-1].read_text())["target"]  # whose kernels are in the cache
                self.call(self.program("moec"), "compile", self.model, "--train", "--target", target, "-o", self.folder / "program.moec", "-q")
            self.call(self.program("bench_training_dump"), self.folder / "program.moec", out, out / "training.safetensors")

    def train_torch(self, seed, lines=None, weights=()):
        out = self.folder / f"seed-{seed}"
        lines = lines or out / "torch.jsonl"
        if lines.exists():
            return
        of_fastmoe = ["--fastmoe", self.arguments.fastmoe] if self.name == "vit-moe" else []
        with open(lines.with_suffix(".part"), "w") as file:
            self.call(sys.executable, HERE / "train_torch.py", self.model, out / "training.safetensors", "--every", self.experiment.every, "--threads", self.arguments.threads,
                      *of_fastmoe, *weights, out=file)
        lines.with_suffix(".part").rename(lines)

    def train_nudged(self, number):
        """Seed 0 by both, from weights a last bit away."""
        out = self.folder / f"nudge-{number}"
        if not out.with_suffix(".safetensors").exists():
            nudges.write(self.folder / "seed-0" / "training.safetensors", out.with_suffix(".safetensors"), number)
        weights = ["--weights", out.with_suffix(".safetensors")]
        self.train_moec(0, out, weights)
        self.train_torch(0, out / "torch.jsonl", weights)

    def nudged_lines(self):
        folders = [self.folder / "seed-0"] + [self.folder / f"nudge-{number}" for number in range(1, self.arguments.nudges + 1)]
        return nudges.table([lines_of(folder / "metrics.jsonl") for folder in folders], [lines_of(folder / "torch.jsonl") for folder in folders])

    def line(self):
        """Means over the seeds, of the last evaluation."""
        ours, theirs = [], []
        for seed in range(self.seeds()):
            out = self.folder / f"seed-{seed}"
            ours.append([line for line in lines_of(out / "metrics.jsonl") if line["kind"] == "evaluation"][-1])
            theirs.append([line for line in lines_of(out / "torch.jsonl") if line["kind"] == "evaluation"][-1])
            assert ours[-1]["step"] == theirs[-1]["step"], (ours[-1], theirs[-1])
        mean = lambda lines, key: sum(line[key] for line in lines) / len(lines)
        result = lambda lines: f"loss {mean(lines, 'loss'):.4f}" + (f", {100 * mean(lines, 'accuracy'):.2f} %" if lines[0].get("accuracy") is not None else "")
        apart = 100 * (mean(ours, "loss") / mean(theirs, "loss") - 1)
        return f"| {self.name} | {ours[0]['step']} | {self.seeds()} | {result(ours)} | {result(theirs)} | {apart:+.2f} % |"

    def seeds(self):
        return self.arguments.seeds or self.experiment.seeds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="+", choices=EXPERIMENTS)
    parser.add_argument("--work", required=True, help="a folder for models, trainings and results")
    parser.add_argument("--build", default=HERE.parents[1] / "build", help="moec's build, with MOEC_BENCH")
    parser.add_argument("--fastmoe", help="a checkout of FastMoE, for vit-moe")
    parser.add_argument("--text", help="the text that the language models learn")
    parser.add_argument("--seeds", type=int, default=0, help="how many (default: the experiment's)")
    parser.add_argument("--nudges", type=int, default=0, help="how many trainings of seed 0 from weights a last bit away")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    lines = []
    for name in arguments.experiment:
        run = Run(name, arguments)
        run.prepare()
        for seed in range(run.seeds()):
            run.train(seed)
            run.train_torch(seed)
        for number in range(1, arguments.nudges + 1):
            run.train_nudged(number)
        lines.append(run.line())
        if arguments.nudges:
            lines += run.nudged_lines()
        if run.experiment.data == "text":
            lines.append(f"unigram entropy of the text: {unigram_entropy(arguments.text, run.folder / 'seed-0' / 'tokenizer.model'):.4f}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
