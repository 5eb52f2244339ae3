"""FastMoE's gates with several workers, in one process: what they exchange is computed after their C++, in the order of the ranks."""
import contextlib
import importlib
import io

import torch
from torch.func import functional_call

import fastmoe_on_cpu
from suite import Case, WIDTH, Routed, Row, combined, repeatable

VERSION = fastmoe_on_cpu.VERSION[:7]


class Asked(Exception):
    """A worker needs what the others say first."""


def together(workers, forward, exchange):
    """The results of forward(rank, ask) of every worker, where ask(value) gives what exchange makes of all workers' values: a list, one for each. A
    worker runs again from its start as often as something is asked."""
    answers = []
    while True:
        values, results = [], []
        for rank in range(workers):
            following = iter(answers)

            def ask(value):
                answer = next(following, None)
                if answer is None:
                    values.append(value)
                    raise Asked
                return answer[rank]

            try:
                results.append(forward(rank, ask))
            except Asked:
                pass
        if not values:
            return results
        answers.append(exchange(values))


def limited(experts):
    """limit_by_capacity and prune_gate_by_capacity: an expert takes `capacity` rows, of the first rank's before the second's."""
    def exchange(values):
        left, pruned = {}, []
        for indices, capacity in values:
            indices = indices.clone()
            for token in range(indices.shape[0]):
                for choice in range(indices.shape[1]):
                    expert = int(indices[token, choice])
                    left[expert] = left.get(expert, capacity) - 1
                    if left[expert] < 0:
                        indices[token, choice] = -1
            pruned.append(indices)
        return pruned
    return exchange


def swiped(own, workers):
    """swipe_once (cuda/balancing.cu), line by line, for all ranks."""
    def exchange(values):
        cap = [int(capacity) for _, capacity, _ in values]
        lec = [[sum(int(i) // own == worker for i in indices) for worker in range(workers)] for indices, _, _ in values]
        drop_count = [0] * workers
        for worker in range(workers):
            for source in range(workers):
                taken = min(cap[worker], lec[source][worker])
                drop_count[source] += lec[source][worker] - taken
                lec[source][worker] = taken
                cap[worker] -= taken
        gcap, j = list(cap), 0
        for i in range(workers):
            while drop_count[i] > 0:
                if drop_count[i] > gcap[j]:
                    drop_count[i] -= gcap[j]
                    lec[i][j] += gcap[j]
                    cap[j] -= gcap[j]
                    j += 1
                else:
                    gcap[j] -= drop_count[i]
                    lec[i][j] += drop_count[i]
                    cap[j] -= drop_count[i]
                    break
        results = []
        for rank, (indices, _, bias) in enumerate(values):
            indices, left = indices.clone(), lec[rank]
            for i in range(len(indices)):
                worker = int(indices[i]) // own
                if left[worker] > 0:
                    left[worker] -= 1
                else:
                    indices[i] = -1
            k = 0
            for i in range(len(indices)):
                if indices[i] == -1:
                    while left[k] == 0:
                        k += 1
                    left[k] -= 1
                    indices[i] = k * own + bias
            results.append((indices, torch.scalar_tensor(cap[rank], dtype=torch.long)))
        return results
    return exchange


def rows(fmoe):
    modules = {name: importlib.import_module(f"fmoe.gates.{name}_gate") for name in ("dc", "faster", "gshard", "swipe", "switch")}
    classes = {"dc": modules["dc"].DCGate, "gshard": modules["gshard"].GShardGate, "swipe": modules["swipe"].SwipeGate, "switch": modules["switch"].SwitchGate}

    def made(row, rank, training):
        gate, workers, own = row.gate, row.gate["workers"], row.experts // row.gate["workers"]
        if gate["kind"] == "faster":
            modules["faster"].nw_per_node = gate["workers_per_node"]
            with contextlib.redirect_stdout(io.StringIO()):
                module = modules["faster"].FasterGate(WIDTH, own, workers, rank // gate["workers_per_node"])
            module.ogn_ratio = gate["outgoing"]
        else:
            module = classes[gate["kind"]](WIDTH, own, workers, gate["top_k"])
        if "capacity" in gate:
            module.capacity = (gate["capacity"]["train"], gate["capacity"]["eval"])
        module.random_routing = gate.get("random_routing", False)
        module.switch_eps = gate.get("jitter", 0.0)
        return module.train(training)

    def run(row, x, parameters, draws, training):
        gate, workers = row.gate, row.gate["workers"]
        own, size = row.experts // workers, len(x) // workers
        given = {f"gate.{name}": value for name, value in parameters.items()}
        draws_in_training_alone = gate["kind"] == "switch"

        def forward(rank, ask):
            module = made(row, rank, training)
            for name in ("dc", "switch"):
                modules[name].limit_by_capacity = lambda indices, _experts, _workers, capacity: (None, None, ask((indices, capacity)))
            module.swipe_once = lambda indices, capacity, bias: ask((indices, capacity, bias))
            mine = slice(rank * size, (rank + 1) * size)
            used = [value[mine] for value in draws.values()] if training or not draws_in_training_alone else []
            with repeatable(used, x.dtype):
                indices, weights = functional_call(module, given, (x[mine],))
            return indices, weights, module.get_loss() if module.has_loss else None

        results = together(workers, forward, swiped(own, workers) if gate["kind"] == "swipe" else limited(row.experts))
        indices, weights = torch.cat([each[0] for each in results]), torch.cat([each[1] for each in results]).to(x.dtype)
        aux = {}
        if training and "balance_loss" in gate:
            # FastMoE counts the experts of one worker, but for switch: 1 where all is even is that times W^2.
            even = 1 if gate["kind"] == "switch" else workers ** 2
            aux = {"balance_loss": torch.stack([each[2] for each in results]).mean() * even}
        return Routed(combined(indices, weights, row.experts), indices, aux)

    def cases(workers):
        return tuple(Case(name, (tokens * workers,), effect, ties) for name, tokens, effect, ties in (
            ("w1", 1, "", False), ("w2", 2, "", False), ("w3", 3, "", False), ("w11", 11, "", False), ("starved", 5, "starved", False),
            ("one-expert", 6, "one-expert", False), ("ties", 4, "ties", True), ("zero", 3, "zero", True), ("huge", 3, "huge", True)))

    def of_workers(name, gate, workers, experts, draws=None, **more):
        gate = {"top_k": 2, "workers": workers} | gate
        shapes = {"weight": (experts, WIDTH), "bias": (experts,)}
        wanted = [case for case in cases(workers) if gate["kind"] != "faster" or case.effect not in ("starved", "one-expert")]  # they are sent elsewhere
        return Row(f"{gate['kind']}.fastmoe.{name}", "fastmoe", gate, shapes, run, experts, draws or (lambda shape: {}), tuple(wanted),
                   inexact=fastmoe_on_cpu.SHARES if "balance_loss" in gate else {}, **more)

    def routed(shape):
        return {"random_routing": (shape, "uniform")}

    rates = {"train": 1.2, "eval": 2.4}

    def nothing(experts, workers, rates):
        return lambda shape, mode: -int(-rates[mode] * (shape[0] // workers) // 1) * 2 // experts == 0

    yield of_workers("two-workers", {"kind": "gshard", "capacity": rates, "random_routing": True, "balance_loss": 0.3}, 2, 4, routed, refuses=nothing(4, 2, rates))
    tight = {"train": 0.3, "eval": 0.7}
    for name, workers, experts, changes in (("two-workers", 2, 4, {}), ("three-workers", 3, 6, {"random_routing": False})):
        gate = {"kind": "dc", "capacity": tight, "random_routing": True, "balance_loss": 0.3} | changes
        yield of_workers(name, gate, workers, experts, routed if gate["random_routing"] else None)
    yield of_workers("two-workers", {"kind": "switch", "top_k": 1, "capacity": {"train": 2.4, "eval": 0.7}, "rounding": "up", "jitter": 0.1, "jitter_on": "logits", "balance_of": "kept",
                                     "balance_loss": 0.3, "bias": True}, 2, 4, lambda shape: {"jitter": ((*shape, 4), "uniform")})
    yield of_workers("two-workers", {"kind": "swipe"}, 2, 4)
    yield of_workers("three-workers", {"kind": "swipe", "top_k": 3}, 3, 6)
    yield of_workers("one-worker", {"kind": "swipe"}, 1, 5)
    for name, workers, experts, each, outgoing in (("two-nodes", 2, 4, 1, 0.5), ("three-nodes", 3, 6, 1, 0.14), ("nodes-of-two", 4, 8, 2, 0.3)):
        yield of_workers(name, {"kind": "faster", "workers_per_node": each, "outgoing": outgoing, "balance_loss": 0.3}, workers, experts)
