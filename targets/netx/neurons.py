"""Neurons of a netx file as populations of a circuit, as the stock reader makes them.

The file keeps arrays of a population in the order ``(W, H, C)``; circuits are channel first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from targets.netx.fields import Fields
from toolchain.ir.mapped import IntArray, Lif, Population, Shape
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

CUBA_TYPES = ("CUBA", "LOIHI")
DEFAULT_THRESHOLD = 1 << 17
"""Of a layer without neuron; above the 17-bit register and above what ``v`` can reach."""


@dataclass(frozen=True)
class NeuronOptions:
    """What the stock reader is told beside the file.

    Attributes:
        reset_interval: Time steps between two resets of ``u`` and ``v``; `None` for none.
        reset_offset: Phase of the reset of block 0; block k follows k steps later.
        spike_exponent: Binary places of the payloads of sigma-delta neurons.
    """

    reset_interval: int | None = None
    reset_offset: int = 0
    spike_exponent: int = 6


def read_neuron(
    layer: Fields,
    name: str,
    shape: Shape,
    block: int,
    options: NeuronOptions,
    notes: list[str],
    *,
    is_input: bool = False,
) -> Population:
    """Read the neurons of a layer; a layer without the group ``neuron`` integrates silently.

    Args:
        layer: Group of the layer.
        name: Of the population to make.
        shape: Of the population, ``(C, H, W)`` or ``(N,)``.
        block: Number of blocks before this one, for the phase of the reset.
        options: What the stock reader is told.
        notes: Gets a sentence for everything in the file that the stock reader does not heed.
        is_input: The layer is of type ``input``; its sigma-delta neurons encode.

    Raises:
        ImportModelError: The neurons are of a type that the stock reader cannot run, or a field
            is missing or out of range.
    """
    if "neuron" not in layer:
        return _lif(
            name, shape, block, options, DEFAULT_THRESHOLD, 0, 4096, _bias(layer, shape)
        )
    neuron = layer.group("neuron", f"{layer.place}/neuron")
    kind = neuron.text("type")
    if "messageBits" in neuron:
        raise neuron.error(
            "messageBits",
            "stops the stock reader",
            "delete the field: payloads are 16 bits wide",
        )
    _note_unheeded(neuron, kind, notes)
    bias = None if is_input else _bias(layer, shape)
    if kind in CUBA_TYPES:
        threshold = _per_neuron(neuron, "vThMant", shape)
        decay_u, decay_v = (_decay(neuron, field, shape) for field in ("iDecay", "vDecay"))
        return _lif(name, shape, block, options, threshold, decay_u, decay_v, bias)
    if kind == "SDNN":
        if options.reset_interval is not None:
            notes.append(f"{neuron.place}: sigma-delta neurons are not reset")
        return _sigma_delta(neuron, name, shape, options, bias, is_input)
    raise neuron.error(
        "type",
        f"is {kind!r}; the neurons that can be run are {', '.join((*CUBA_TYPES, 'SDNN'))}",
        "export the network with CUBA or SDNN neurons",
    )


def _lif(
    name: str,
    shape: Shape,
    block: int,
    options: NeuronOptions,
    threshold: int | IntArray,
    decay_u: int | IntArray,
    decay_v: int | IntArray,
    bias: int | IntArray | None,
) -> Lif:
    interval = options.reset_interval
    return Lif(
        name=name,
        shape=shape,
        threshold=threshold,
        decay_u=decay_u,
        decay_v=decay_v,
        bias_mantissa=0 if bias is None else wrap(bias, 16),
        bias_exponent=6,
        reset_interval=interval,
        reset_offset=0 if interval is None else (options.reset_offset + block) % interval,
    )


def _sigma_delta(
    neuron: Fields,
    name: str,
    shape: Shape,
    options: NeuronOptions,
    bias: int | IntArray | None,
    is_input: bool,
) -> Population:
    if not is_input and "sigma_output" in neuron:
        if bias is not None:
            raise neuron.error(
                "sigma_output",
                "and a bias of the layer stop the stock reader: its Sigma has no bias",
                "subtract the bias from the targets and train without it",
            )
        return Sigma(name=name, shape=shape)
    threshold = _per_neuron(neuron, "vThMant", shape)
    exponent = options.spike_exponent
    if is_input:
        return Delta(name=name, shape=shape, threshold=threshold, spike_exponent=exponent)
    return SigmaDelta(
        name=name,
        shape=shape,
        threshold=threshold,
        bias=0 if bias is None else bias,
        spike_exponent=exponent,
    )


def wrap(value: int | IntArray, bits: int) -> int | IntArray:
    """Wrap to signed integers of ``bits`` bits."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def _decay(neuron: Fields, field: str, shape: Shape) -> int | IntArray:
    decay = _per_neuron(neuron, field, shape)
    if np.min(decay) < 0 or np.max(decay) > 4096:
        raise neuron.error(
            field, f"is {np.min(decay)} to {np.max(decay)}; 0 to 4096 are allowed"
        )
    return decay


def _per_neuron(fields: Fields, field: str, shape: Shape) -> int | IntArray:
    """Return one number for all neurons, or an array of ``shape``."""
    value = fields.integers(field)
    if value.ndim > len(shape) and value.size > 1:
        raise fields.error(
            field, f"has shape {value.shape}, and the neurons have {shape[::-1]}"
        )
    return _broadcast(fields, field, value, shape)


def _bias(layer: Fields, shape: Shape) -> int | IntArray | None:
    """Return the bias: a number, one per neuron, or for ``(C, H, W)`` one per channel."""
    if "bias" not in layer:
        return None
    bias = layer.truncated("bias")
    if len(shape) == 3 and bias.shape != shape[::-1] and bias.shape[:1] != shape[:1]:
        raise layer.error(
            "bias",
            f"has shape {bias.shape}; ({shape[0]},) or {shape[::-1]} are allowed",
            "give one bias per channel, or one per neuron in the order (W, H, C)",
        )
    return _broadcast(layer, "bias", bias, shape)


def _broadcast(fields: Fields, field: str, value: IntArray, shape: Shape) -> int | IntArray:
    if value.size == 1:
        return int(value.flat[0])
    try:
        return np.broadcast_to(value, shape[::-1]).T.copy()
    except ValueError as error:
        raise fields.error(
            field, f"has shape {value.shape}, and the neurons have {shape[::-1]}"
        ) from error


def _note_unheeded(neuron: Fields, kind: str, notes: list[str]) -> None:
    """Note the fields whose values ask for what the stock reader does not do."""
    for field, usual in (("refDelay", 1), ("wgtExp", 0), ("weight_exp", 0), ("gradedSpike", 0)):
        if field in neuron and np.any(neuron.numbers(field) != usual):
            notes.append(f"{neuron.place}: {field} is not heeded, as in the stock reader")
    if kind == "SDNN" and "activation" in neuron and neuron.text("activation") != "relu":
        notes.append(f"{neuron.place}: activation is not heeded; neurons rectify")
