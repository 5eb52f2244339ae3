"""Dropout and jitter by given draws, in the place of PyTorch's own random numbers. A draw is uniform in [0, 1)."""
import contextlib
import math

import torch


@contextlib.contextmanager
def dropout(draws):
    """Inside, each dropout of a module in training takes the next of `draws`, all of which must be used: an element stays where its draw is at
    least p. Attention, which PyTorch computes in one function with a dropout of its own, is written out."""
    functional = torch.nn.functional
    queue, dropped, attention = list(draws), functional.dropout, functional.scaled_dot_product_attention

    def next_dropout(x, p=0.5, training=True, inplace=False):
        if not training or p == 0.0:
            return x
        draw = queue.pop(0)
        assert draw.shape == x.shape and not inplace, (draw.shape, x.shape)
        return x * (draw >= p) / (1.0 - p)

    def written_out(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False):
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if is_causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return next_dropout(scores.softmax(dim=-1), dropout_p) @ v

    functional.dropout, functional.scaled_dot_product_attention = next_dropout, written_out
    try:
        yield
    finally:
        functional.dropout, functional.scaled_dot_product_attention = dropped, attention
    assert not queue, f"{len(queue)} draws were not used"


@contextlib.contextmanager
def uniform(draws):
    """Inside, each uniform_(low, high) takes the next of `draws`, all of which must be used."""
    queue, original = list(draws), torch.Tensor.uniform_

    def next_uniform(self, low, high):
        draw = queue.pop(0)
        assert draw.shape == self.shape, (draw.shape, self.shape)
        return self.copy_(low + (high - low) * draw)

    torch.Tensor.uniform_ = next_uniform
    try:
        yield
    finally:
        torch.Tensor.uniform_ = original
    assert not queue, f"{len(queue)} draws were not used"
