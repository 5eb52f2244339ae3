"""Makes the routing goldens of this folder: python make_routing.py --fastmoe DIR --deepspeed DIR --tutel DIR [--only PREFIX]. See README.md.

Each origin's module gives rows (suite.Row); each row is one file and one entry of manifest.json. With --only the other entries stay
as they are.
"""
import argparse
import itertools
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch  # noqa: E402

import deepspeed_gates  # noqa: E402
import fastmoe_gates  # noqa: E402
import fastmoe_on_cpu  # noqa: E402
import fastmoe_workers  # noqa: E402
import golden_file  # noqa: E402
import mixture_of_experts_gates  # noqa: E402
import papers  # noqa: E402
import st_moe_gates  # noqa: E402
import suite  # noqa: E402
import transformers_routers  # noqa: E402
import tutel_gates  # noqa: E402


def origins(arguments):
    """(name, version, function that gives its rows) of each."""
    yield "fastmoe", fastmoe_gates.VERSION, lambda: itertools.chain(fastmoe_gates.rows(fastmoe_on_cpu.load(arguments.fastmoe)), fastmoe_workers.rows(sys.modules["fmoe"]))
    yield "mixture-of-experts", mixture_of_experts_gates.VERSION, mixture_of_experts_gates.rows
    yield "st-moe-pytorch", st_moe_gates.VERSION, st_moe_gates.rows
    yield "transformers", transformers_routers.VERSION, transformers_routers.rows
    yield "deepspeed", deepspeed_gates.VERSION, lambda: deepspeed_gates.rows(arguments.deepspeed)
    yield "tutel", tutel_gates.VERSION, lambda: tutel_gates.rows(arguments.tutel)
    yield "paper", papers.VERSION, papers.rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fastmoe", required=True, help="a checkout of FastMoE at the version in fastmoe_on_cpu.py")
    parser.add_argument("--deepspeed", required=True, help="a checkout of DeepSpeed at the version in deepspeed_gates.py")
    parser.add_argument("--tutel", required=True, help="a checkout of Tutel at the version in tutel_gates.py")
    parser.add_argument("--only", default="", help="make only the files whose names begin so")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    manifest = HERE / "manifest.json"
    entries = {entry["name"]: entry for entry in json.loads(manifest.read_text())["files"]} if arguments.only and manifest.exists() else {}
    for origin, version, rows in origins(arguments):
        versions = {origin: version, "torch": torch.__version__.split("+")[0]}
        for row in rows():
            if not row.name.startswith(arguments.only):
                continue
            tensors, metadata, entries[row.name] = suite.made_row(row, versions)
            path = HERE / entries[row.name]["file"]
            golden_file.write(path, tensors, metadata)
            size = path.stat().st_size
            print(f"{row.name}: {size:,} bytes, {len(row.cases)} cases")
            assert size <= suite.MOST_OF_A_FILE, f"{path.name} is larger than {suite.MOST_OF_A_FILE:,} bytes"
    manifest.write_text(json.dumps({"files": [entries[name] for name in sorted(entries)]}, indent=1) + "\n")
    total = sum(path.stat().st_size for path in HERE.glob("*.safetensors"))
    print(f"{len(entries)} files, {total:,} bytes")
    assert total <= suite.MOST_OF_ALL, f"all files are larger than {suite.MOST_OF_ALL:,} bytes"


if __name__ == "__main__":
    main()
