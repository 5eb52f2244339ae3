"""A layer of experts in PyTorch, timed on request: what bench_gpu holds moec's beside.

torch_layer.py FOLDER DEVICE: the folder holds x.npy (T, D), gate_weight.npy (E, D), gate_bias.npy (E), up_weight.npy (E, H, D), up_bias.npy (E, H),
down_weight.npy (E, D, H), down_bias.npy (E, D) and choices.npy (1). For each way of writing the layer it puts y.WAY.npy (T, D) there. Then it says on one line
of JSON what it has, and for each line "WAY REPEATS" that it reads it answers with the seconds that one run of the layer took: {"seconds": 0.001}.

Ways: "index_select" takes each expert's rows and multiplies them; "grouped_mm" sorts the rows by expert and multiplies them all at once.
"""

import json
import os
import sys
import time


def say(what):
    print(json.dumps(what), flush=True)


try:
    import numpy
    import torch
except ImportError as error:
    say({"missing": f"Python ({sys.executable}) has no PyTorch: {error}"})
    sys.exit(0)

folder, device = sys.argv[1:]
if device == "cuda" and not torch.cuda.is_available():
    say({"missing": f"PyTorch {torch.__version__} sees no GPU"})
    sys.exit(0)

torch.backends.cuda.matmul.allow_tf32 = False  # fp32 is fp32, as in moec


def load(name):
    return torch.from_numpy(numpy.load(os.path.join(folder, name + ".npy"))).to(device)


x, gate_weight, gate_bias = load("x"), load("gate_weight"), load("gate_bias")
up_weight, up_bias, down_weight, down_bias = load("up_weight"), load("up_bias"), load("down_weight"), load("down_bias")
choices = int(numpy.load(os.path.join(folder, "choices.npy"))[0])
experts = up_weight.shape[0]
gelu = torch.nn.functional.gelu
# (E, D, H) and (E, H, D) as grouped_mm wants its matrices: views.
up_columns, down_columns = up_weight.transpose(1, 2), down_weight.transpose(1, 2)


def gate():
    scores, chosen = torch.topk(torch.nn.functional.linear(x, gate_weight, gate_bias), choices, dim=1)
    return torch.softmax(scores, dim=1), chosen


def index_select():
    weights, chosen = gate()
    y = torch.zeros_like(x)
    for expert in range(experts):
        token, choice = torch.where(chosen == expert)
        hidden = gelu(torch.nn.functional.linear(x.index_select(0, token), up_weight[expert], up_bias[expert]))
        rows = torch.nn.functional.linear(hidden, down_weight[expert], down_bias[expert])
        y.index_add_(0, token, rows * weights[token, choice].unsqueeze(1))
    return y


def grouped_mm():
    product = getattr(torch.nn.functional, "grouped_mm", None) or torch._grouped_mm
    weights, chosen = gate()
    flat = chosen.flatten()
    order = torch.argsort(flat, stable=True)
    token, expert = order // choices, flat[order]
    ends = torch.cumsum(torch.bincount(flat, minlength=experts), 0).to(torch.int32)
    hidden = gelu(product(x[token], up_columns, offs=ends) + up_bias[expert])
    rows = product(hidden, down_columns, offs=ends) + down_bias[expert]
    return torch.zeros_like(x).index_add_(0, token, rows * weights.flatten()[order].unsqueeze(1))


def seconds(layer, repeats):
    if device != "cuda":
        start = time.perf_counter()
        for _ in range(repeats):
            layer()
        return (time.perf_counter() - start) / repeats
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeats):
        layer()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e-3 / repeats


ways, reasons = {}, {}
with torch.inference_mode():
    for layer in (index_select, grouped_mm):
        try:
            numpy.save(os.path.join(folder, f"y.{layer.__name__}.npy"), layer().cpu().numpy())
            ways[layer.__name__] = layer
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            reasons[layer.__name__] = str(error).splitlines()[0]
    say({"torch": torch.__version__, "device": torch.cuda.get_device_name() if device == "cuda" else device, "ways": list(ways), "reasons": reasons})
    for line in sys.stdin:
        way, repeats = line.split()
        say({"seconds": seconds(ways[way], int(repeats))})
