"""The language models in PyTorch: its own TransformerEncoderLayer, then a mixture written out expert by expert, then a head.

Parameters carry moec's names. Sizes come from the caller; nothing here reads files or draws numbers.
"""
import torch
from torch import nn

from placement import Placement, whole


def expert(width, experts):
    """One expert of the model's JSON: Linear, ReLU, Linear, or a Linear alone."""
    if "widths" in experts:
        assert len(experts["widths"]) == 1
        return nn.Sequential(nn.Linear(width, experts["widths"][0]))
    return nn.Sequential(nn.Linear(width, experts["hidden"]), nn.ReLU(),
                         nn.Linear(experts["hidden"], experts.get("out", width)))


class Mixture(nn.Module):
    """Base of the four versions: x (T, D) to (T, out). `indices` (T, K) are the experts that the last call used, `balance`
    its balance loss without a coefficient, where the gate has one."""

    def __init__(self, width, mixture):
        super().__init__()
        self.settings, self.indices, self.weights, self.balance = mixture["gate"], None, None, None
        self.experts = nn.ModuleList(expert(width, mixture["experts"]) for _ in range(mixture["experts"]["count"]))


class Switch(Mixture):
    """Switch Transformers: the best expert takes a token while it has places, in the order of tokens."""

    def __init__(self, width, mixture):
        super().__init__(width, mixture)
        self.gate = nn.Linear(width, len(self.experts), bias=False)

    def forward(self, x, draws):  # draws (T, D) of the jitter of the gate's input, in training
        jitter = self.settings["jitter"] if self.training else 0.0
        scores = torch.softmax(self.gate(x * (1.0 - jitter + 2.0 * jitter * draws) if jitter else x), dim=-1)
        self.weights, best = scores.max(dim=-1)
        mask = nn.functional.one_hot(best, len(self.experts))
        self.balance = len(self.experts) * (mask.to(x.dtype).mean(dim=0) * scores.mean(dim=0)).sum()  # the paper's (4) to (6)
        place = (mask.cumsum(dim=0) * mask).sum(dim=-1)  # from 1
        kept = place <= int(len(x) * self.settings["capacity"]["train" if self.training else "eval"] / len(self.experts))
        self.indices = torch.where(kept, best, -1)[:, None]
        y = torch.zeros(len(x), self.experts[0][-1].out_features, dtype=x.dtype)
        for e, layer in enumerate(self.experts):
            mine = kept & (best == e)
            y[mine] = self.weights[mine, None] * layer(x[mine])
        return y


class Gating(Mixture):
    """Every expert, weighted by a softmax over a linear layer."""

    def __init__(self, width, mixture):
        super().__init__(width, mixture)
        self.gate = nn.Linear(width, len(self.experts))

    def forward(self, x, draws):
        weights = torch.softmax(self.gate(x), dim=-1)
        return sum(weights[..., i, None] * layer(x) for i, layer in enumerate(self.experts))


class RandomExpert(Mixture):
    """One expert for the whole call: the one that the largest draw names."""

    def forward(self, x, draws):
        chosen = int(torch.argmax(draws))
        self.indices, self.weights = torch.full((len(x), 1), chosen), torch.ones(len(x), dtype=x.dtype)
        return self.experts[chosen](x)


MIXTURES = {"switch": Switch, "dense": Gating, "random_expert": RandomExpert}


class LanguageModel(nn.Module):
    """`size` without a length: as the blog has it, where layers take the batch for the sequence, see all of it and no positions."""

    def __init__(self, size, mixture, deep_head, dropout=0.1):
        super().__init__()
        dim, self.corrected = size["embedding"], "length" in size
        self.embedding = nn.Embedding(size["vocabulary"], dim)
        if self.corrected:
            self.position_embedding = nn.ParameterDict({"weight": torch.empty(size["length"], dim)})
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, size["heads"], size["hidden"], dropout=dropout, activation="relu",
                                       batch_first=self.corrected)
            for _ in range(size["layers"]))
        self.moe = MIXTURES[mixture["gate"]["kind"]](dim, mixture)
        width = self.moe.experts[0][-1].out_features
        self.deep = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, size["hidden"]), nn.ReLU()) if deep_head else nn.Sequential()
        self.scores = nn.Linear(size["hidden"] if deep_head else width, size["vocabulary"])

    def forward(self, tokens, draws):  # (B, N) -> (B, N, vocabulary)
        x, mask = self.embedding(tokens), None
        if self.corrected:
            x = x + self.position_embedding["weight"][:tokens.shape[1]]
            mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], dtype=x.dtype)
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=self.corrected)
        y = self.moe(x.flatten(0, 1), draws)
        return self.scores(self.deep(y.unflatten(0, tokens.shape)))


LAYER_NAMES = {"self_attn.in_proj_": "attention.qkv.", "self_attn.out_proj.": "attention.out.", "linear1.": "mlp.up.",
               "linear2.": "mlp.down.", "norm1.": "layer_norm.", "norm2.": "layer_norm_2."}


def moec_name(name, single):
    """(moec's name, expert or None) of one of PyTorch's; `single`: experts are one layer."""
    if name.startswith("layers."):
        for torch_part, moec_part in LAYER_NAMES.items():
            name = name.replace(torch_part, moec_part)
    if not name.startswith("moe.experts."):
        return name.replace("deep.1.", "linear."), None
    _, _, number, place, kind = name.split(".")
    return f"moe.experts.{'layers.0' if single else {'0': 'up', '2': 'down'}[place]}.{kind}", int(number)


def placed(model, weights, single):
    """A Placement of every parameter."""
    placement = Placement(weights)
    for name, parameter in model.named_parameters():
        moec, number = moec_name(name, single)
        placement.set(parameter, moec, whole if number is None else lambda value, number=number: value[number])
    return placement


def build(size, mixture, deep_head, weights, dropout=0.1):
    """(model, its Placement)."""
    model = LanguageModel(size, mixture, deep_head, dropout).to(torch.from_numpy(weights["scores.bias"]).dtype)
    return model, placed(model, weights, "widths" in mixture["experts"])


def run(size, mixture, deep_head, weights, tokens, draws):
    """(scores, indices (T, K) or None, weights (T, K) or None, number of parameters), in evaluation."""
    model, placement = build(size, mixture, deep_head, weights)
    scores = model.eval()(torch.from_numpy(tokens), *(torch.from_numpy(draw) for draw in draws.values() or [tokens])).detach().numpy()
    if model.moe.indices is None:
        return scores, None, None, placement.count()
    return scores, model.moe.indices.numpy(), model.moe.weights.detach().numpy()[:, None], placement.count()


def losses(model, tokens, targets, draws):
    """(cross entropy, {path of the gate's loss: (coefficient, loss)})."""
    scores = model(tokens, draws)
    loss = nn.functional.cross_entropy(scores.flatten(0, 1), targets.flatten())
    if model.moe.balance is None:
        return loss, {}
    return loss, {"moe.gate.balance_loss": (model.moe.settings["balance_loss"], model.moe.balance)}
