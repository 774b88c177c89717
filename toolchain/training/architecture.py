"""The steps of a network as plain values, so that a checkpoint holds all of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolchain.errors import TrainingError
from toolchain.training._torch import nn, torch
from toolchain.training.network import Add, Network, Permute, Scale, Step
from toolchain.training.neuron import MultiThreshold
from toolchain.training.qcfs import Qcfs

_POOL = ("kernel_size", "stride", "padding")
_CONV = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
)  # fmt: skip


def _with_bias(
    kind: Any, names: tuple[str, ...]
) -> tuple[Any, Callable[[Any], dict[str, Any]]]:
    return kind, lambda m: {n: getattr(m, n) for n in names} | {"bias": m.bias is not None}


def _plain(kind: Any, *names: str) -> tuple[Any, Callable[[Any], dict[str, Any]]]:
    return kind, lambda m: {name: getattr(m, name) for name in names}


def _scale(factor: list[int], shift: list[int]) -> Any:
    return Scale(torch.ones(factor), torch.zeros(shift))


_KINDS: dict[str, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
    "Linear": _with_bias(nn.Linear, ("in_features", "out_features")),
    "Conv2d": _with_bias(nn.Conv2d, _CONV),
    "BatchNorm1d": _plain(nn.BatchNorm1d, "num_features", "eps"),
    "BatchNorm2d": _plain(nn.BatchNorm2d, "num_features", "eps"),
    "AvgPool2d": _plain(nn.AvgPool2d, *_POOL),
    "MaxPool2d": _plain(nn.MaxPool2d, *_POOL),
    "ZeroPad2d": _plain(nn.ZeroPad2d, "padding"),
    "Flatten": _plain(nn.Flatten),
    "ReLU": _plain(nn.ReLU),
    "Hardtanh": _plain(nn.Hardtanh, "min_val", "max_val"),
    "Add": _plain(Add),
    "Qcfs": _plain(Qcfs, "levels"),
    "MultiThreshold": (
        MultiThreshold,
        lambda m: {"levels": m.levels, "windows": m.windows, "mixing": m.mixing.mode},
    ),
    "Scale": (
        _scale,
        lambda m: {"factor": list(m.factor.shape), "shift": list(m.shift.shape)},
    ),
    "Permute": (
        lambda shape, size: Permute(shape, torch.zeros(size)),
        lambda m: {"shape": m.shape, "size": m.order.numel()},
    ),
}


def describe(network: Network) -> dict[str, Any]:
    """Return a network without its weights as plain lists and dictionaries.

    Raises:
        TrainingError: A module is of a kind that cannot be written down.
    """
    steps = []
    for step in network.steps:
        kind = type(step.module).__name__
        if kind not in _KINDS:
            raise TrainingError(f"a {kind} cannot be kept in a checkpoint", node=step.name)
        sizes = _KINDS[kind][1](step.module)
        steps.append([step.name, list(step.inputs), kind, _listed(sizes)])
    return {
        "steps": steps,
        "sample_shape": list(network.sample_shape),
        "has_window_axis": network.has_window_axis,
    }


def build(description: dict[str, Any]) -> Network:
    """Return the network that was described, with weights of its own.

    Raises:
        TrainingError: A module is of a kind that this version does not know.
    """
    steps = []
    for name, inputs, kind, sizes in description["steps"]:
        if kind not in _KINDS:
            raise TrainingError(f"{kind} is no module of this version", node=name)
        sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in sizes.items()}
        steps.append(Step(name, tuple(inputs), _KINDS[kind][0](**sizes)))
    return Network(
        steps,
        tuple(description["sample_shape"]),
        has_window_axis=description["has_window_axis"],
    )


def _listed(sizes: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in sizes.items()}
