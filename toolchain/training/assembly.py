"""From a recipe to the network that its training starts with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolchain.errors import TrainingError
from toolchain.training._torch import nn
from toolchain.training.checkpoint import load_checkpoint
from toolchain.training.from_onnx import network_from_onnx, with_staircases
from toolchain.training.hybrid import convert_to_neurons
from toolchain.training.network import Network
from toolchain.training.networks import ARCHITECTURES, build_network, sizes_of
from toolchain.training.neuron import MultiThreshold
from toolchain.training.qcfs import START, Qcfs
from toolchain.training.recipe import NeuronTable, Recipe, nearest


def assemble_network(
    recipe: Recipe,
    sample_shape: tuple[int, ...],
    classes: int,
    *,
    input_scale: float = 1.0,
    windows: int | None = None,
    calibration: Callable[[], Any] = lambda: None,
) -> Network:
    """Return the network that training starts with.

    Args:
        recipe: That says which.
        sample_shape: Of a sample without its window axis.
        classes: Number of logits.
        input_scale: Factor on samples before the first layer.
        windows: Of the samples; `None` if they have no window axis.
        calibration: Returns samples, which set the staircases of an ONNX network.

    Raises:
        TrainingError: The recipe asks for what cannot be; the message has the key.
    """
    neuron, table = recipe.neuron, recipe.network
    if windows is not None and neuron.windows not in (windows, NeuronTable().windows):
        raise TrainingError(
            f"neuron.windows is {neuron.windows}; the samples have {windows} windows"
        )
    own = neuron.windows if windows is None else windows
    if recipe.hybrid is not None:
        network = _started(recipe, Path(recipe.hybrid.start), own, calibration)
        return _reading(network, sample_shape, has_window_axis=windows is not None)
    _refuse_unknown_sizes(recipe)
    return build_network(
        table.name,
        sample_shape,
        classes,
        lambda: _activation(table.activation, neuron, own),
        has_window_axis=windows is not None,
        input_scale=input_scale,
        **table.sizes,
    )


def _activation(name: str, neuron: NeuronTable, windows: int) -> Any:
    if name == "relu":
        return nn.ReLU()
    if name == "qcfs":
        return Qcfs(neuron.levels, neuron.threshold or START)
    return MultiThreshold(
        neuron.levels,
        windows,
        threshold=neuron.threshold or None,
        mixing=neuron.mixing,
        retention=neuron.retention,
        initial=neuron.initial,
    )


def _refuse_unknown_sizes(recipe: Recipe) -> None:
    name = recipe.network.name
    known = sizes_of(name) if name in ARCHITECTURES else tuple(recipe.network.sizes)
    for key in recipe.network.sizes:
        if key not in known:
            keys = ("name", "activation", *known)
            raise TrainingError(
                f"network.{key} is no key for {name!r}; there are "
                + ", ".join(f"network.{k}" for k in keys),
                hint=nearest(key, keys),
            )


def _started(
    recipe: Recipe, start: Path, windows: int, calibration: Callable[[], Any]
) -> Network:
    """Return a trained network with the activations that a hybrid recipe asks for."""
    neuron, activation = recipe.neuron, recipe.network.activation
    if start.suffix == ".onnx":
        network = network_from_onnx(start)
        if activation == "relu":
            return network
        steps = neuron.levels * (windows if activation == "lm-ht" else 1)
        network = with_staircases(network, steps, calibration())
    else:
        network = load_checkpoint(start).network
    if activation == "lm-ht":
        return convert_to_neurons(network, neuron.levels, windows, mixing=neuron.mixing)
    return network


def _reading(
    network: Network, sample_shape: tuple[int, ...], *, has_window_axis: bool
) -> Network:
    """Return a network for samples with or without a window axis, if it fits their shape."""
    if network.sample_shape != tuple(sample_shape):
        raise TrainingError(
            f"the network to start from reads samples of shape {network.sample_shape}; these "
            f"have {tuple(sample_shape)}"
        )
    return Network(network.steps, sample_shape, has_window_axis=has_window_axis)
