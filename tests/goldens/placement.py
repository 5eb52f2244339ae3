"""Which part of moec's parameters each parameter of a PyTorch model is: values go one way, gradients and trained values come back.

Knows neither models nor files.
"""
import torch


def whole(value):
    return value


class Placement:
    """moec's weights {name: array}, each to be used in full by set()."""

    def __init__(self, weights):
        self.weights = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
        self.places = []  # (parameter, moec's name, view that takes moec's tensor to the parameter's)

    def set(self, parameter, name, view=whole):
        value = view(self.weights[name])
        assert value.shape == parameter.shape, (name, value.shape, parameter.shape)
        parameter.data = value.clone()
        self.places.append((parameter, name, view))

    def count(self):
        """The number of parameters' elements, which must be all of moec's."""
        placed = sum(parameter.numel() for parameter, *_ in self.places)
        assert {name for _, name, _ in self.places} == set(self.weights) and placed == sum(value.numel() for value in self.weights.values())
        return placed

    def gradients(self):
        """{name: array}; zeros where a parameter had no part in the loss."""
        return self.back(lambda parameter: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)

    def values(self):
        return self.back(lambda parameter: parameter.detach())

    def back(self, value_of):
        result = {name: torch.zeros_like(value) for name, value in self.weights.items()}
        for parameter, name, view in self.places:
            view(result[name]).copy_(value_of(parameter))
        return {name: value.numpy() for name, value in result.items()}
