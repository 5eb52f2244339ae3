"""The models as their sources run them, in PyTorch: vit-pytorch's ViT, the same with FastMoE's layer, per-expert MLPs.

Parameters carry moec's names. Sizes come from the caller; nothing here reads files or draws numbers.
"""
import torch
from einops import rearrange
from torch import nn

import fastmoe_on_cpu
from placement import Placement

DTYPES = {"f32": torch.float32, "f64": torch.float64}


class PatchEmbedding(nn.Module):
    def __init__(self, patch, channels, dim):
        super().__init__()
        self.patch, width = patch, channels * patch * patch
        self.norm_in, self.projection, self.norm_out = nn.LayerNorm(width), nn.Linear(width, dim), nn.LayerNorm(dim)

    def forward(self, image):  # (B, C, H, W) -> (B, tokens, D)
        patches = rearrange(image, "b c (h p1) (w p2) -> b (h w) (p1 p2 c)", p1=self.patch, p2=self.patch)
        return self.norm_out(self.projection(self.norm_in(patches)))


class Attention(nn.Module):
    def __init__(self, dim, heads, head_dim):
        super().__init__()
        self.heads, self.scale = heads, head_dim ** -0.5
        self.qkv, self.out = nn.Linear(dim, 3 * heads * head_dim, bias=False), nn.Linear(heads * head_dim, dim)

    def forward(self, x):
        q, k, v = (rearrange(part, "b n (h d) -> b h n d", h=self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        attention = (q @ k.transpose(-1, -2) * self.scale).softmax(dim=-1)
        return self.out(rearrange(attention @ v, "b h n d -> b n (h d)"))


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))


def fastmoe_layer(fmoe, dim, hidden, experts, gate, routing):
    """FastMoE's transformer MLP with `gate` (the model's JSON); each call appends its (indices, weights) to `routing`."""
    kinds = {"gshard": fmoe.gates.GShardGate, "switch": fmoe.gates.SwitchGate, "top_k": fmoe.gates.NaiveGate}
    layer = fmoe.FMoETransformerMLP(
        num_expert=experts, d_model=dim, d_hidden=hidden, activation=nn.GELU(), top_k=gate.get("top_k", 1),
        gate=kinds[gate["kind"]], gate_hook=lambda indices, weights, _: routing.append((indices, weights)))
    configure_gate(layer.gate, gate)
    return layer


def configure_gate(module, gate):
    if gate["kind"] in ("gshard", "switch"):
        module.capacity = (gate["capacity"]["train"], gate["capacity"]["eval"])
    if gate["kind"] == "gshard":
        module.random_routing = gate["random_routing"]
    if gate["kind"] == "switch":
        module.switch_eps = gate.get("jitter", 0.0)


class Layer(nn.Module):
    def __init__(self, dim, attention, feed_forward):
        super().__init__()
        self.layer_norm, self.attention = nn.LayerNorm(dim), attention
        self.layer_norm_2 = nn.LayerNorm(dim)
        self.feed_forward, module = feed_forward  # its name, "mlp" or "moe", as in the parameters' paths
        self.add_module(self.feed_forward, module)

    def forward(self, x):
        x = self.attention(self.layer_norm(x)) + x
        return getattr(self, self.feed_forward)(self.layer_norm_2(x)) + x


class Vit(nn.Module):
    """`feed_forward()` gives each layer its ("mlp" or "moe", module)."""

    def __init__(self, size, feed_forward):
        super().__init__()
        dim, tokens = size["dim"], (size["image"][0] // size["patch"]) * (size["image"][1] // size["patch"])
        self.patch_embedding = PatchEmbedding(size["patch"], size["channels"], dim)
        self.class_token = nn.ParameterDict({"weight": torch.empty(dim)})
        self.position_embedding = nn.ParameterDict({"weight": torch.empty(1 + tokens, dim)})
        self.layers = nn.ModuleList(
            Layer(dim, Attention(dim, size["heads"], size["head_dim"]), feed_forward()) for _ in range(size["depth"]))
        self.layer_norm, self.scores = nn.LayerNorm(dim), nn.Linear(dim, size["classes"])

    def forward(self, image):
        x = self.patch_embedding(image)
        x = torch.cat([self.class_token["weight"].expand(len(x), 1, -1), x], dim=1)
        x = x + self.position_embedding["weight"]
        for layer in self.layers:
            x = layer(x)
        return self.scores(self.layer_norm(x[:, 0]))


def placed(model, weights):
    """A Placement of every parameter; FastMoE's modules of one expert are slices of the batched (E, ...) weights."""
    placement = Placement(weights)
    for name, parameter in model.named_parameters():
        if ".moe.experts." in name:  # layers.0.moe.experts.3.htoh4.weight (1, out, in)
            scope, rest = name.split(".moe.experts.")
            number, matrix, kind = rest.split(".")
            expert = int(number)
            moec = f"{scope}.moe.experts.{ {'htoh4': 'up', 'h4toh': 'down'}[matrix]}.{kind}"
            placement.set(parameter, moec, lambda value, expert=expert: value[expert:expert + 1])
        else:
            placement.set(parameter, name.replace(".moe.gate.gate.", ".moe.gate."))
    return placement


def build_vit(fmoe, size, feed_forward, dtype, routing):
    """Each call of a MoE layer appends its (indices, weights) to `routing`."""
    def one_layer():
        if feed_forward["kind"] != "moe":
            return "mlp", Mlp(size["dim"], feed_forward["hidden"])
        experts = feed_forward["experts"]
        return "moe", fastmoe_layer(fmoe, size["dim"], experts["hidden"], experts["count"], feed_forward["gate"], routing)

    return Vit(size, one_layer).to(DTYPES[dtype])


def run_vit(fmoe, size, feed_forward, weights, image, draws, dtype):
    """(scores, [(indices, weights, loss) per MoE layer], number of parameters), in evaluation."""
    routing = []
    model = build_vit(fmoe, size, feed_forward, dtype, routing).eval()
    parameters = placed(model, weights).count()
    with torch.no_grad(), fastmoe_on_cpu.repeatable(torch.from_numpy(draw) for draw in draws):
        scores = model(torch.from_numpy(image))
    losses = [layer.moe.gate.get_loss().detach() for layer in model.layers] if routing else []
    return scores.numpy(), [(i.numpy(), w.numpy(), l.numpy()) for (i, w), l in zip(routing, losses)], parameters


def vit_losses(model, image, label, draws, coefficient):
    """(cross entropy, {path of a gate's loss: (coefficient, loss)}), the gates' losses being FastMoE's."""
    with fastmoe_on_cpu.repeatable(draws):
        scores = model(image)
    layers = [(i, layer.moe.gate) for i, layer in enumerate(model.layers) if layer.feed_forward == "moe"] if coefficient else []
    return nn.functional.cross_entropy(scores, label), {f"layers.{i}.moe.gate.balance_loss": (coefficient, gate.get_loss()) for i, gate in layers}


def run_gate(fmoe, gate, logits, draws, training):
    """(indices, weights, loss) of a gate alone: its projection is the identity, so that its input is its logits."""
    experts = logits.shape[1]
    kinds = {"gshard": fmoe.gates.GShardGate, "switch": fmoe.gates.SwitchGate, "top_k": fmoe.gates.NaiveGate}
    module = kinds[gate["kind"]](experts, experts, 1, gate.get("top_k", 1)).train(training)
    configure_gate(module, gate)
    module.gate.weight.data, module.gate.bias.data = torch.eye(experts), torch.zeros(experts)
    assert torch.equal(module.gate(torch.from_numpy(logits)), torch.from_numpy(logits))
    with torch.no_grad(), fastmoe_on_cpu.repeatable(torch.from_numpy(draw) for draw in draws):
        indices, weights = module(torch.from_numpy(logits))
    return indices.numpy(), weights.numpy(), module.get_loss().detach().numpy()


def run_batched_experts(weights, inputs):
    """Outputs, gradients of the MSE loss by parameter, and the loss."""
    parameters = {name: torch.from_numpy(value).requires_grad_() for name, value in weights.items()}
    outputs, loss = batched_experts(parameters, {name: torch.from_numpy(value) for name, value in inputs.items()})
    loss.backward()
    return ({name: value.detach().numpy() for name, value in outputs.items()},
            {name: value.grad.numpy() for name, value in parameters.items()}, loss.detach().numpy())


def batched_experts(parameters, inputs):
    """({output: tensor}, MSE loss); every expert runs by itself, as a chain of Linear layers."""
    x, blend, target = (inputs[name] for name in ("x", "blend", "target"))
    depth = len(parameters) // 2

    def expert(e):
        value = x
        for i in range(depth):
            weight, bias = parameters[f"experts.layers.{i}.weight"], parameters[f"experts.layers.{i}.bias"]
            value = nn.functional.linear(value, weight[e], bias[e])
            value = torch.tanh(value) if i == depth - 1 else torch.relu(value)
        return value

    experts = torch.stack([expert(e) for e in range(len(blend))])  # (E, T, out)
    y = torch.einsum("e,eto->to", blend, experts)
    loss = nn.functional.mse_loss(y, target)
    assert_batched_agrees(parameters, x, experts)
    return {"experts": experts, "spread": torch.var(experts, dim=0), "y": y}, loss


def assert_batched_agrees(parameters, x, experts):
    """The batched form, baddbmm over (E, T, D), gives what the loop over the experts gave."""
    value, depth = x.expand(len(experts), *x.shape), len(parameters) // 2
    for i in range(depth):
        weight, bias = parameters[f"experts.layers.{i}.weight"], parameters[f"experts.layers.{i}.bias"]
        value = torch.baddbmm(bias[:, None], value, weight.transpose(1, 2))
        value = torch.tanh(value) if i == depth - 1 else torch.relu(value)
    assert (value - experts).abs().max() <= 64 * torch.finfo(x.dtype).eps
