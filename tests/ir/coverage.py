"""coverage.py SOURCE_DIR: every op of the dialect has a section in docs/SPEC.md and a self-checking file, every numbered constraint has a
negative test, and no test or diagnostic speaks of a constraint that SPEC lacks."""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
ops = set(re.findall(r'Moe_\w*Op<"(\w+)"', (root / "ir/dialect/MoeOps.td").read_text()))
spec = (root / "docs/SPEC.md").read_text()
tests = root / "tests/ir"
problems = []

# Ops without a value of their own to compare; tested inside other files.
within = {"yield": "kernel", "parameter": "read", "prepared": "write"}
for op in sorted(ops):
    if not re.search(rf"^#+ .*`{op}`", spec, re.M):
        problems.append(f"docs/SPEC.md has no section for {op}")
    file = tests / "ops" / f"{within.get(op, op)}.mlir"
    if not file.exists() or f"moe.{op}" not in file.read_text() or "@check_" not in file.read_text():
        problems.append(f"tests/ir/ops has no self-checking file for {op}")

defined = []
for line in spec.splitlines():
    if match := re.match(r"- \*\*(\w+ C\d+)\*\*", line):
        defined.append(match[1])
if len(defined) != len(set(defined)):
    problems.append("docs/SPEC.md gives one constraint number twice")
negative = "".join(file.read_text() for file in sorted((tests / "constraints").glob("*.mlir")))
tested = set(re.findall(r"expected-error\S* *\{\{.*?(\w+ C\d+)", negative))
code = "".join(file.read_text() for file in [*(root / "ir").rglob("*.cpp"), *(root / "ir").rglob("*.td"), *(root / "ir").rglob("*.h")])
checked = set(re.findall(r"\b([a-z_]+ C\d+)\b", code))
for constraint in defined:
    if constraint not in tested:
        problems.append(f"no negative test of {constraint}")
    if constraint not in checked:
        problems.append(f"no check of {constraint} in ir/")
for constraint in sorted((tested | checked) - set(defined)):
    problems.append(f"docs/SPEC.md lacks {constraint}")

for problem in problems:
    print("FAIL", problem)
print(f"{len(ops)} ops, {len(defined)} constraints, {len(problems)} problems")
sys.exit(1 if problems else 0)
