"""The goldens of lucidrains' mixture-of-experts: their cases, numbers and originals, and the same again in NumPy and float64."""
import numpy as np
import torch

import golden_file
import lucidrains_package
import made_numbers
import numpy_check
from golden_case import MARGIN, assert_close, first_seed_with, metadata, with_prefix, zoo_model

CAPACITY, THRESHOLD = {"train": 1.25, "eval": 2.0}, {"train": 0.2, "eval": 0.4}
GATE_CASES = [  # case, rows of the batch, tokens, experts, mode, policy, capacity, skew, step of the logits
    ("random.train", 3, 18, 4, "train", {"train": "random", "eval": "all"}, CAPACITY, 1.0, None),
    ("random.eval", 2, 37, 8, "eval", "random", CAPACITY, 2.0, None),
    ("all.train", 2, 18, 4, "train", {"train": "all", "eval": "none"}, CAPACITY, 1.0, None),
    ("all.eval-tight", 3, 18, 4, "eval", "all", {"train": 1.25, "eval": 0.9}, 0.5, None),
    ("none.eval", 2, 18, 4, "eval", {"train": "all", "eval": "none"}, CAPACITY, 3.0, None),
    ("threshold.train", 2, 18, 4, "train", {"train": "threshold", "eval": "all"}, CAPACITY, 1.0, None),
    ("threshold.eval", 3, 25, 5, "eval", "threshold", CAPACITY, 1.0, None),
    ("n2", 2, 2, 4, "train", "all", CAPACITY, 0.0, None),  # a capacity of 4 for 2 tokens
    ("n3", 1, 3, 4, "train", "random", CAPACITY, 0.0, None),
    ("one-expert", 2, 20, 4, "eval", "all", CAPACITY, 12.0, None),
    ("ties", 2, 37, 8, "eval", "random", CAPACITY, 1.0, 1.0),
]
TIGHT = {"blocks": {"mixture": {"gate": {"capacity": {"eval": 0.9}}}}}
ALL = {"blocks": {"mixture": {"gate": {"policy": "all"}}}}
NONE = {"blocks": {"mixture": {"gate": {"policy": "none"}}}}
FLAT, LEVELS = {"dim": 10, "hidden": 14, "experts": 4}, {"dim": 10, "hidden": 14, "outer": 3, "inner": 4}
CASES = [  # model, case, changes of "let", of others, dtype, (rows of the batch, tokens), description
    ("lucidrains-moe", "f32", FLAT, {}, "f32", (3, 18), "the flat layer in evaluation, second choices kept at random"),
    ("lucidrains-moe", "tight", FLAT, TIGHT, "f32", (3, 18), "as f32 with a capacity that drops rows"),
    ("lucidrains-moe", "f64", FLAT, {}, "f64", (3, 18), "as f32, run in double"),
    ("hierarchical", "f32", LEVELS, {}, "f32", (2, 22), "two levels in evaluation, second choices kept at random in both"),
    ("hierarchical", "all", LEVELS, ALL, "f32", (2, 22), "as f32, every second choice stays"),
    ("hierarchical", "none", LEVELS, NONE, "f32", (2, 22), "as f32, no second choice stays"),
    ("hierarchical", "tight", LEVELS, TIGHT, "f32", (2, 22), "as f32 with capacities that drop rows in both levels"),
    ("hierarchical", "f64", LEVELS, {}, "f64", (2, 22), "as f32, run in double"),
    ("custom-experts", "f32", {"dim": 6, "experts": 4}, {}, "f32", (2, 18), "experts of three matrices of unscaled normals"),
    ("custom-experts-hierarchical", "f32", {"dim": 6, "outer": 3, "inner": 2}, {}, "f32", (2, 18), "the same in two levels"),
]


def by_mode(value, mode):
    return value[mode] if isinstance(value, dict) else value


def capacity_of(gate, mode, tokens, experts):
    return max(min(tokens, int(tokens * by_mode(gate["capacity"], mode) / experts)), 4)


def choose(gate, mode, logits, draws, tokens, importance=None):
    """One gate for one row of the batch: (indices, weights, places (n, 2), margin, rows over capacity, its part in the balance loss: a sum over
    the experts). `tokens` is what the capacity is of, and the loss."""
    count, experts = logits.shape
    scores, capacity = numpy_check.softmax(logits), capacity_of(gate, mode, tokens, experts)
    policy, threshold = by_mode(gate["policy"], mode), by_mode(gate["threshold"], mode)
    indices, weights, places = np.full((count, 2), -1), np.zeros((count, 2)), np.full((count, 2), -1)
    wanted, margin = [[], []], np.inf
    for t in range(count):
        order = sorted(range(experts), key=lambda e: (-logits[t, e], e))
        margin = min([margin, *-np.diff(logits[t][order][:3])])
        whole = importance is None or importance[t] == 1.0
        first, second = (order[0], order[1]) if whole else (None, order[0])
        share = np.array([scores[t, first] if whole else 0.0, scores[t, second]])
        weights[t] = share / (share.sum() + 1e-9)
        if whole:
            wanted[0].append((t, first))
        stays = {"all": True, "none": False, "threshold": weights[t, 1] > threshold,
                 "random": policy == "random" and draws[t] < weights[t, 1] / threshold}[policy]
        if policy == "threshold":
            margin = min(margin, abs(weights[t, 1] - threshold))
        elif policy == "random":
            margin = min(margin, abs(draws[t] - weights[t, 1] / threshold))
        if stays and (whole or importance[t] > 0.0):
            wanted[1].append((t, second))
    taken = [0] * experts
    for choice in range(2):
        for t, expert in wanted[choice]:
            if taken[expert] < capacity:
                indices[t, choice], places[t, choice] = expert, taken[expert]
                taken[expert] += 1
    share = np.bincount([expert for _, expert in wanted[0]], minlength=experts) / tokens
    balance = (share * scores[[t for t, _ in wanted[0]]].sum(axis=0) / tokens).sum()
    return indices, weights, places, margin, sum(map(len, wanted)) - sum(taken), balance


def recompute_gate(gate, mode, logits, draws):
    """(indices, weights, places (b * n, 2), margin, rows over capacity, balance loss) for logits (b, n, E)."""
    b, n, experts = logits.shape
    each = [choose(gate, mode, logits[i], draws[i * n:(i + 1) * n] if draws is not None else None, n) for i in range(b)]
    indices, weights, places = (np.concatenate([row[part] for row in each]) for part in range(3))
    return indices, weights, places, min(row[3] for row in each), sum(row[4] for row in each), experts * sum(row[5] for row in each) / b


def rows_of(indices, places, tokens, experts):
    """[(choice's number, expert, row of the batch, place)] in the order of moec's rows: by expert, row of the batch and place."""
    rows = [(place, int(expert), int(place // indices.shape[1] // tokens)) for place, expert in enumerate(indices.flatten()) if expert >= 0]
    return sorted(((number, expert, row, int(places.flatten()[number])) for number, expert, row in rows), key=lambda r: r[1:])


def row_count(gate, b, n):
    """Of the outer routing: without second choices there is one row for a token."""
    return b * n * (1 if gate["policy"] == "none" else 2)


def expert_of(x, weights, expert):
    names = ("up", "down") if "moe.experts.up.weight" in weights else ("first", "second", "third")
    for i, name in enumerate(names):
        x = numpy_check.linear(x, weights[f"moe.experts.{name}.weight"][expert])
        x = numpy_check.relu(x, 0.01) if i + 1 < len(names) else x
    return x


def recompute(gate, weights, x, draws, mode="eval"):
    """(y, {gate's path: (indices, weights, places)}, margin, rows over capacity by gate, importances seen, balance losses by gate, without a
    coefficient); inner indices are of all experts, by row of the outer routing."""
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    x = x.astype(np.float64)
    (b, n, dim), outer = x.shape, gate.get("outer")
    path = "moe.gate.outer" if outer else "moe.gate"
    logits = numpy_check.linear(x, weights[path + ".weight"])
    indices, shares, places, margin, over, balance = recompute_gate(gate, mode, logits, draws.get(path + ".policy"))
    routings, y = {path: (indices, shares, places)}, np.zeros_like(x)
    rows = rows_of(indices, places, n, logits.shape[-1])
    if not outer:
        for number, expert, row, _ in rows:
            token = number // 2 % n
            y[row, token] += shares[number // 2, number % 2] * expert_of(x[row, token], weights, expert)
        return y, routings, margin, [over], set(), [balance]
    capacity = capacity_of(gate, mode, n, outer)
    inner, seen, over = weights["moe.gate.inner.weight"], set(), [over, 0]
    count, balance = inner.shape[1], [balance, 0.0]
    of_rows = [np.full((row_count(gate, b, n), 2), -1), np.zeros((row_count(gate, b, n), 2)), np.full((row_count(gate, b, n), 2), -1)]
    for cell in sorted({(expert, row) for _, expert, row, _ in rows}):
        mine = [r for r, (_, expert, row, _) in enumerate(rows) if (expert, row) == cell]
        numbers = [rows[r][0] for r in mine]
        weight = np.array([shares[number // 2, number % 2] for number in numbers])
        margin = min(margin, np.abs(weight - 0.5).min())
        importance = 0.5 * ((weight > 0.5).astype(float) + (weight > 0.0))
        seen |= set(importance)
        tokens = np.stack([x[cell[1], number // 2 % n] for number in numbers])
        inner_draws = draws["moe.gate.inner.policy"][mine] if "moe.gate.inner.policy" in draws else None
        chosen = choose(gate, mode, numpy_check.linear(tokens, inner[cell[0]]), inner_draws, capacity, importance)
        margin, over[1], balance[1] = min(margin, chosen[3]), over[1] + chosen[4], balance[1] + chosen[5] * count / (outer * b)
        for i, r in enumerate(mine):
            for choice in range(2):
                expert = chosen[0][i, choice]
                of_rows[0][r, choice] = cell[0] * count + expert if expert >= 0 else -1
                of_rows[1][r, choice], of_rows[2][r, choice] = chosen[1][i, choice], chosen[2][i, choice]
                if expert >= 0:
                    y[cell[1], numbers[i] // 2 % n] += weight[i] * chosen[1][i, choice] * expert_of(tokens[i], weights, cell[0] * count + expert)
    routings["moe.gate.inner"] = tuple(of_rows)
    routings["inner count"] = count
    return y, routings, margin, over, seen, balance


# --- gates alone ---

def gate_case(name, b, n, experts, mode, policy, capacity, skew, step):
    gate = {"kind": "top_2", "policy": policy, "threshold": THRESHOLD, "capacity": capacity}

    def accept(rng):
        logits = made_numbers.gate_logits(rng, b * n, experts, skew, step).reshape(b, n, experts)
        draws = made_numbers.uniform(rng, b * n) if by_mode(policy, mode) == "random" else None
        indices, _, _, margin, over, _ = recompute_gate(gate, mode, logits.astype(np.float64), draws)
        drops = over > 0 or name not in ("all.eval-tight", "one-expert", "random.eval")
        return (logits, draws) if (step or margin >= MARGIN) and drops else None

    seed, (logits, draws) = first_seed_with(accept)
    given = draws if draws is not None else np.zeros(b * n, np.float32)
    indices, weights, places, loss = lucidrains_package.run_gate(gate, logits, given.reshape(b, n), mode)
    tensors = {"inputs/logits": logits, "outputs/indices": indices.astype(np.int32), "outputs/weights": weights,
               "outputs/places": places.astype(np.int32), "outputs/loss": loss}
    if draws is not None:
        tensors["draws/policy"] = draws
    about = metadata(f"{b} x {n} tokens, {experts} experts, policy {by_mode(policy, mode)}", ["lucidrains"], gate=gate, mode=mode, seed=seed,
                     capacity=capacity_of(gate, mode, n, experts))
    return tensors, about, lambda stored: check_gate(stored, gate, mode, step)


def check_gate(stored, gate, mode, step):
    logits = stored["inputs/logits"].astype(np.float64)
    indices, weights, places, margin, over, _ = recompute_gate(gate, mode, logits, stored.get("draws/policy"))
    choices = stored["outputs/indices"].shape[1]
    assert (step or margin >= MARGIN) and np.array_equal(stored["outputs/indices"], indices[:, :choices])
    assert np.array_equal(stored["outputs/places"], places[:, :choices]) and (indices[:, choices:] < 0).all()
    assert_close("weights", stored["outputs/weights"], weights[:, :choices], "f32")
    scores = numpy_check.softmax(logits)
    first = np.eye(logits.shape[-1])[np.array([[min(range(len(row)), key=lambda e: (-row[e], e)) for row in rows] for rows in logits])]
    loss = (first.mean(axis=1) * scores.mean(axis=1)).mean() * logits.shape[-1] ** 2
    assert_close("loss", stored["outputs/loss"], np.float64(loss), "f32")
    return f"{over} of {indices.size} choices over capacity"


# --- models ---

def shapes_of(model):
    let, gate, dim = model["let"], model["blocks"]["mixture"]["gate"], model["let"]["dim"]
    count = let["outer"] * let["inner"] if gate["kind"] == "hierarchical" else let["experts"]
    shapes = {"moe.gate.weight": (count, dim)}
    if gate["kind"] == "hierarchical":
        shapes = {"moe.gate.outer.weight": (let["outer"], dim), "moe.gate.inner.weight": (let["outer"], let["inner"], dim)}
    if "hidden" in let:
        return shapes | {"moe.experts.up.weight": (count, let["hidden"], dim), "moe.experts.down.weight": (count, dim, let["hidden"])}
    wide = 4 * dim
    return shapes | {"moe.experts.first.weight": (count, wide, dim), "moe.experts.second.weight": (count, wide, wide),
                     "moe.experts.third.weight": (count, dim, wide)}


def numbers(rng, name, shape, dtype):
    """Standard normals for gates and for experts of one's own, uniform in +-1/sqrt(out) for the package's, as it begins."""
    bound = shape[1] ** -0.5
    value = rng.uniform(-bound, bound, shape) if ".up." in name or ".down." in name else rng.standard_normal(shape)
    return value.astype(made_numbers.NUMPY[dtype])


def case(name, case_name, let, changes, dtype, size, description):
    overrides = {"let": let} | changes | ({"dtype": dtype} if dtype != "f32" else {})
    model = zoo_model(name, overrides)
    gate = dict(model["blocks"]["mixture"]["gate"])
    if "outer" in gate:
        gate["outer"] = let["outer"]

    def accept(rng):
        weights = {key: numbers(rng, key, shape, dtype) for key, shape in shapes_of(model).items()}
        x = (0.4 * rng.standard_normal((*size, let["dim"]))).astype(made_numbers.NUMPY[dtype])
        count, draws = size[0] * size[1], {}
        if gate["policy"] == "random" and "outer" in gate:
            draws = {"moe.gate.outer.policy": made_numbers.uniform(rng, count), "moe.gate.inner.policy": made_numbers.uniform(rng, 2 * count)}
        elif gate["policy"] == "random":
            draws = {"moe.gate.policy": made_numbers.uniform(rng, count)}
        draws = {key: value.astype(made_numbers.NUMPY[dtype]) for key, value in draws.items()}
        *_, margin, over, seen, _ = recompute(gate, weights, x, draws)
        full = all(over) or case_name != "tight"
        return (weights, x, draws) if margin >= MARGIN and full and ("outer" not in gate or seen == {0.5, 1.0} or gate["policy"] == "none") else None

    seed, (weights, x, draws) = first_seed_with(accept)
    y, routings, *_ = recompute(gate, weights, x, draws)
    given, loss, seen = lucidrains_package.run(gate, weights, x, draws, lambda draws: in_slots(gate, routings, draws, size))
    found = {path: by_row(gate, routings, path, values, size) for path, values in seen.items()}
    tensors = with_prefix("weights", weights) | with_prefix("inputs", {"x": x}) | with_prefix("draws", draws)
    tensors |= {"outputs/moe": given, "losses/moe.gate": loss}
    for path, (indices, shares, places) in found.items():
        choices = 1 if gate["policy"] == "none" else 2
        tensors |= with_prefix(f"routing/{path}", {"indices": indices[:, :choices].astype(np.int32), "weights": shares[:, :choices]})
    about = metadata(description, ["lucidrains"], model=name, overrides=overrides, mode="eval", seed=seed,
                     sizes={"batch": size[0], "tokens": size[1]})
    return tensors, about, lambda stored: check(stored, gate, dtype)


def in_slots(gate, routings, draws, size, mode="eval"):
    """Draws of rows of the outer routing, (R), as those of the package's slots, (Eo, b, cap)."""
    indices, _, places = routings["moe.gate.outer"]
    slots = torch.zeros(gate["outer"], size[0], capacity_of(gate, mode, size[1], gate["outer"]), dtype=draws.dtype)
    for r, (_, expert, row, place) in enumerate(rows_of(indices, places, size[1], gate["outer"])):
        slots[expert, row, place] = draws[r]
    return slots


def by_row(gate, routings, path, values, size):
    """What the package says of slots (Eo, b, cap, 2), by row of the outer routing; experts count through all groups."""
    if path != "moe.gate.inner":
        return tuple(value.reshape(-1, 2) for value in values)
    indices, weights, places = values
    outer_indices, _, outer_places = routings["moe.gate.outer"]
    count = row_count(gate, *size)
    result = [np.full((count, 2), -1), np.zeros((count, 2), weights.dtype), np.full((count, 2), -1)]
    inner = routings["inner count"]
    for r, (_, expert, row, place) in enumerate(rows_of(outer_indices, outer_places, size[1], len(indices))):
        at = (expert, row, place)
        result[0][r] = np.where(indices[at] >= 0, expert * inner + indices[at], -1)
        result[1][r], result[2][r] = weights[at], places[at]
    return tuple(result)


def check(stored, gate, dtype):
    weights, draws = golden_file.group(stored, "weights"), golden_file.group(stored, "draws")
    y, routings, margin, over, *_ = recompute(gate, weights, stored["inputs/x"], draws)
    error = assert_close("y", stored["outputs/moe"], y, dtype)
    for path in ("moe.gate", "moe.gate.outer", "moe.gate.inner"):
        if path not in routings:
            continue
        choices = stored[f"routing/{path}/indices"].shape[1]
        assert margin >= MARGIN and np.array_equal(stored[f"routing/{path}/indices"], routings[path][0][:, :choices]), path
        kept = (routings[path][0] >= 0).any(axis=1)
        assert_close(path, stored[f"routing/{path}/weights"][kept], routings[path][1][kept, :choices], dtype)
    return f"y {error:.1e}, rows over capacity {over}"


def cases():
    """(file name, function that makes (tensors, metadata, check)) of every golden here."""
    for each in GATE_CASES:
        yield f"top_2.gate.{each[0]}", lambda each=each: gate_case(*each)
    for each in CASES:
        yield f"{each[0]}.{each[1]}", lambda each=each: case(*each)
