"""Makes the routing goldens of this folder: python make_routing.py --fastmoe DIR ... [--only PREFIX]. See README.md.

Each origin's modules give rows (suite.Row of gates, layers.Row of experts, mixtures and losses); each row is one file and one entry of manifest.json. With --only the other entries stay
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
import fastmoe_experts  # noqa: E402
import fastmoe_gates  # noqa: E402
import fastmoe_on_cpu  # noqa: E402
import fastmoe_workers  # noqa: E402
import golden_file  # noqa: E402
import losses  # noqa: E402
import lucidrains_experts  # noqa: E402
import mixture_of_experts_gates  # noqa: E402
import papers  # noqa: E402
import soft_moe_models  # noqa: E402
import soft_mixtures  # noqa: E402
import st_moe_gates  # noqa: E402
import suite  # noqa: E402
import transformers_experts  # noqa: E402
import transformers_routers  # noqa: E402
import tutel_gates  # noqa: E402


def origins(arguments):
    """(function that gives rows, their versions by origin) of each module."""
    light, wrapper = soft_mixtures.load_light(arguments.light), soft_moe_models.load_wrapper(arguments.soft_moe)
    fmoe = fastmoe_on_cpu.load(arguments.fastmoe)
    versions = {"fastmoe": fastmoe_gates.VERSION, "mixture-of-experts": mixture_of_experts_gates.VERSION, "st-moe-pytorch": st_moe_gates.VERSION,
                "transformers": transformers_routers.VERSION, "deepspeed": deepspeed_gates.VERSION, "tutel": tutel_gates.VERSION, "paper": papers.VERSION,
                "torch": losses.VERSION, "soft-moe-pytorch": soft_mixtures.SOFT_VERSION, "bwconrad/soft-moe": soft_mixtures.WRAPPER_VERSION,
                "zhaozijie2022/soft-moe": soft_mixtures.LIGHT_VERSION, "character-motion-vaes": soft_mixtures.BLENDED_VERSION}
    rows = itertools.chain(fastmoe_gates.rows(fmoe), fastmoe_workers.rows(fmoe), mixture_of_experts_gates.rows(), st_moe_gates.rows(), transformers_routers.rows(),
                           deepspeed_gates.rows(arguments.deepspeed), tutel_gates.rows(arguments.tutel), papers.rows(),
                           fastmoe_experts.rows(fmoe, light), lucidrains_experts.rows(), transformers_experts.rows(),
                           soft_mixtures.soft_rows(wrapper, light), soft_mixtures.blended_rows(soft_mixtures.load_blended(arguments.blended)),
                           losses.rows(), losses.paper_rows())
    return rows, versions


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fastmoe", required=True, help="a checkout of FastMoE at the version in fastmoe_on_cpu.py")
    parser.add_argument("--deepspeed", required=True, help="a checkout of DeepSpeed at the version in deepspeed_gates.py")
    parser.add_argument("--tutel", required=True, help="a checkout of Tutel at the version in tutel_gates.py")
    parser.add_argument("--soft-moe", required=True, help="a checkout of bwconrad/soft-moe at the version in soft_moe_models.py")
    parser.add_argument("--light", required=True, help="a checkout of zhaozijie2022/soft-moe at the version in soft_mixtures.py")
    parser.add_argument("--blended", required=True, help="a checkout of character-motion-vaes at the version in soft_mixtures.py")
    parser.add_argument("--only", default="", help="make only the files whose names begin so")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    manifest = HERE / "manifest.json"
    entries = {entry["name"]: entry for entry in json.loads(manifest.read_text())["files"]} if arguments.only and manifest.exists() else {}
    rows, versions = origins(arguments)
    for row in rows:
        if not row.name.startswith(arguments.only):
            continue
        tensors, metadata, entries[row.name] = suite.made_row(row, {row.origin: versions[row.origin], "torch": versions["torch"]})
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
