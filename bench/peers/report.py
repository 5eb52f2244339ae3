"""Rows of measure.py as FILE.json and FILE.md. A row replaces the one of its work and threads; the others stay as they were measured."""
import datetime
import json
import os
import re
from pathlib import Path

HEAD = """# moec beside PyTorch: {cpu}

`bench/peers/run` made this page and the JSON beside it; `bench/peers/README.md` says what each work is and how pairs are taken. Ratio: PyTorch's time over moec's, the median of the pairs'
ratios (their quartiles). PyTorch's form is the fastest of those that were tried and gave the same results; `+c` is torch.compile. Times are medians in ms. Limit: what the multiply-adds would take
at the rate of a loop in registers, or the weights at the rate of reading memory, whichever is more, measured between the pairs; of the gates, norms and updates it knows nothing. One thread is
timed by the CPU's time of the process, several by the wall's: where other work shares the machine, ratios of one thread stand, give or take its cache, and those of several do not. There and back:
the nanoseconds that a word takes from one thread to another and back, least and most of the pairs. About 60: two cores are neighbours; 300: they lie on different parts of the chip, and what one
thread leaves for the other comes slower than from memory. A virtual machine's cores do not stay where they are, so that works of a millisecond differ from run to run.

{cores} cores, {versions}.

| Work | threads | moec | PyTorch | its form | of those tried | **ratio** (quartiles) | pairs | limit | limit / moec | there and back | taken |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""


# (family, model / 16) of AMD's server processors: Milan, Genoa, Bergamo, Turin.
ZEN = {(25, 0): "Zen 3", (25, 1): "Zen 4", (25, 10): "Zen 4", (26, 0): "Zen 5", (26, 1): "Zen 5"}


def cpu_entry(word, text):
    found = re.search(rf"^{word}[ \t]*:[ \t]*(.*?)[ \t]*$", text, re.M)
    return found.group(1) if found else ""


def cpu_info():
    return Path("/proc/cpuinfo").read_text()


def cpu_name(text):
    return cpu_entry("model name", text) or "unknown CPU"


def cpu_title(text):
    """A virtual machine may hide which model it is, so of AMD's the generation stands behind the name, and of others family and model numbers."""
    family, model = (int(number) if (number := cpu_entry(word, text)).isdigit() else -1 for word in ("cpu family", "model"))
    generation = ZEN.get((family, model >> 4)) if cpu_entry("vendor_id", text) == "AuthenticAMD" else None
    return f"{cpu_name(text)} ({generation or f'family {family} model {model}'})"


def cpu_word():
    """The title as part of a file's name."""
    title = re.sub(r"\bZen (\d)", r"zen\1", cpu_title(cpu_info()))
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def milliseconds(seconds):
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"


def there_and_back(row):
    times = [f"{seconds * 1e9:.0f}" for seconds in sorted(row.get("hand_over") or [])]
    return " - ".join(dict.fromkeys([times[0], times[-1]])) if times else ""


def line(row):
    low, high = row["ratio_quartiles"]
    tried = ", ".join(form for form, entry in row["forms"].items() if "seconds" in entry)
    return (f"| {row['work']} | {row['threads']} | {milliseconds(row['moec']['median'])} | {milliseconds(row['torch']['median'])} | {row['form']} | {tried} | **{row['ratio']:.2f}** ({low:.2f} - {high:.2f}) "
            f"| {len(row['pairs'])} | {milliseconds(row['limit'])} | {row['limit'] / row['moec']['median']:.0%} | {there_and_back(row)} | {row.get('date', '')} |")


def add(out, row, order):
    """`order`: the names of all works, in the table's order."""
    file = Path(f"{out}.json")
    stored = json.loads(file.read_text()) if file.exists() else {"rows": []}
    row["date"] = datetime.date.today().isoformat()
    rows = [old for old in stored["rows"] if (old["work"], old["threads"]) != (row["work"], row["threads"])] + [row]
    rows.sort(key=lambda r: (order.index(r["work"]) if r["work"] in order else len(order), r["threads"]))
    stored = {"cpu": cpu_name(cpu_info()), "cores": os.cpu_count(), "rows": rows}
    file.write_text(json.dumps(stored, indent=1) + "\n")
    versions = sorted({f"moec {r['moec_version']}, PyTorch {r['torch_version']}" for r in rows})
    text = HEAD.format(cpu=cpu_title(cpu_info()), cores=os.cpu_count(), versions="; ".join(versions)) + "".join(line(r) + "\n" for r in rows)
    Path(f"{out}.md").write_text(text)
