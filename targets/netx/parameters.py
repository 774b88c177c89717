"""Synapses and neurons as the fields of a layer of a netx file, as stock netx will load them.

What it would change on loading, or compute as something else, raises `EmitError`.

Source: ``lava.lib.dl.netx`` 0.6.0; ranges from ``lava.proc.lif`` and ``lava.proc.conv`` 0.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from targets.netx.chain import LAVA, Block
from targets.netx.weights import (
    WEIGHT_BITS,
    UnloadableWeightError,
    effective_weight,
    load_together,
)
from toolchain.errors import EmitError
from toolchain.fixedpoint import DECAY_UNITY, INPUT_SHIFT
from toolchain.ir.convolution import output_size
from toolchain.ir.mapped import ConvSynapse, DenseSynapse, IntArray, Lif, Shape

MAX_DELAY = 62
THRESHOLD_MAX = (1 << 17) - 1
BIAS_RANGE = (-(1 << 12), (1 << 12) - 1)
GEOMETRY_MAX = 127
"""Lava holds stride, padding, dilation, kernel size and groups in eight bits with sign."""

Data: TypeAlias = dict[str, Any]


def conv_fields(synapse: ConvSynapse, lif: Lif, before: Shape) -> Data:
    """Return the fields of a ``conv`` layer that follows a population of shape ``before``.

    Raises:
        EmitError: Shapes do not fit together, or a number is outside the range of Lava's
            convolution, which checks none.
    """
    weight = synapse.weight
    _check_kernel(synapse)
    _check_size(synapse, lif, before)
    return {
        "type": text("conv"),
        "shape": integers(lif.shape),
        "inChannels": np.int64(before[0]),
        "outChannels": np.int64(weight.shape[0]),
        "kernelSize": integers(weight.shape[2:]),
        "stride": integers(synapse.stride),
        "padding": integers(synapse.padding),
        "dilation": integers(synapse.dilation),
        "groups": np.int64(synapse.groups),
        "weight": weight.astype("<f4"),
    }


def _check_kernel(synapse: ConvSynapse) -> None:
    """Check what Lava's convolution would take in silence: it clips and cuts nothing."""
    weight = synapse.weight
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    unit = 1 if np.any(weight % 2) else 2
    if low < -128 * unit or high > 127 * unit:
        raise EmitError(
            f"weights are {low} to {high}; a convolution holds -128 to 127, or even ones from "
            "-256 to 254",
            node=synapse.name,
            hint="requantize the layer to weights of -127 to 127",
        )
    geometry = (
        *weight.shape[2:],
        *synapse.stride,
        *synapse.padding,
        *synapse.dilation,
        synapse.groups,
    )
    if max(geometry) > GEOMETRY_MAX:
        raise EmitError(
            f"kernel, stride, padding, dilation and groups are {geometry}; each is "
            f"{GEOMETRY_MAX} at most",
            node=synapse.name,
            hint="convolve in fewer groups, with zeros in the kernels",
        )


def _check_size(synapse: ConvSynapse, lif: Lif, before: Shape) -> None:
    out, per_group, height, width = synapse.weight.shape
    vertical, horizontal = synapse.padding
    if len(before) != 3 or per_group * synapse.groups != before[0] or out % synapse.groups:
        raise EmitError(
            f"weight {synapse.weight.shape} in {synapse.groups} groups does not take {before}; "
            "(C, H, W) is allowed",
            node=synapse.name,
            hint="after a dense layer, write the convolution as a dense layer too",
        )
    size = output_size(
        (before[1], before[2]),
        (height, width),
        synapse.stride,
        ((vertical, vertical), (horizontal, horizontal)),
        synapse.dilation,
    )
    if lif.shape != (out, *size):
        raise EmitError(
            f"gives {(out, *size)}, and its target has shape {lif.shape}", node=synapse.name
        )


def dense_fields(block: Block, synapse: DenseSynapse) -> Data:
    """Return the fields of a ``dense`` layer, or of ``dense_rec`` where there is a loop.

    Args:
        block: To be written.
        synapse: Its own. Weights of clock channels are columns behind those of this one.

    Raises:
        EmitError: The stock reader would load other weights, or the layer cannot be said.
    """
    lif, loop, clock = block.population, block.recurrent, block.clock
    if len(lif.shape) != 1:
        raise EmitError(
            f"has shape {lif.shape} after a dense layer; (N,) is allowed",
            node=lif.name,
            hint="flatten before the layer",
        )
    ahead = [each for each in (synapse, clock) if each is not None]
    written = {synapse.name: np.hstack([effective_weight(each) for each in ahead])}
    if loop is not None:
        written[loop.name] = effective_weight(loop)
    _check_loaded(written)
    weight, *recurrent = (matrix.astype("<f4") for matrix in written.values())
    fields: Data = {
        "type": text("dense_rec" if recurrent else "dense"),
        "shape": integers(lif.shape),
        "inFeatures": np.int64(weight.shape[1]),
        "outFeatures": np.int64(weight.shape[0]),
        "weight": weight,
    }
    if recurrent:
        fields["weight_rec"] = recurrent[0]
    return fields | _delay(synapse, loop is not None)


def _check_loaded(written: Mapping[str, IntArray]) -> None:
    """Check that the stock reader loads the matrices of a layer as they are."""
    name, weight = next(iter(written.items()))
    try:
        loaded = load_together(*written.values())
    except UnloadableWeightError as error:
        raise EmitError(
            f"{error}, at which the stock netx reader stops",
            node=name,
            hint="leave the layer out: its neurons see nothing but their bias",
        ) from error
    for (name, weight), held in zip(written.items(), loaded, strict=True):
        span = f"weights are {weight.min()} to {weight.max()}"
        if held.weight_bits > WEIGHT_BITS and weight.min() < 0 < weight.max():
            raise EmitError(
                f"{span} and need {held.weight_bits} bits, {WEIGHT_BITS} are allowed: odd ones "
                "of both signs lie within -128 to 127",
                node=name,
                hint="requantize the layer to weights of -127 to 127",
            )
        changed = np.flatnonzero(held.mantissa * 2.0**held.exponent != weight)
        if changed.size:
            was, becomes = weight.flat[changed[0]], held.mantissa.flat[changed[0]]
            is_trap = weight.min() >= -256 and weight.max() <= 0
            raise EmitError(
                f"{span}, of which the stock netx reader changes {changed.size}, {was} to "
                f"{becomes * 2.0**held.exponent:g} for one"
                + ("; it errs where some are 0 and none above" if is_trap else ""),
                node=name,
                hint="scale them to magnitudes of at most 127, the largest no power of two"
                if is_trap
                else "requantize the layer to weights of -127 to 127",
            )


def _delay(synapse: DenseSynapse, has_loop: bool) -> Data:
    """Return delays as a matrix: the stock reader takes a vector for rows if it can."""
    if synapse.delay is None:
        return {}
    if has_loop:
        raise EmitError(
            "has delays beside a loop; the stock netx reader would delay both",
            node=synapse.name,
            hint=LAVA,
        )
    if synapse.delay.min() < 0 or synapse.delay.max() > MAX_DELAY:
        raise EmitError(
            f"delays are {synapse.delay.min()} to {synapse.delay.max()}; 0 to {MAX_DELAY} is "
            "allowed",
            node=synapse.name,
            hint="add a population that relays the spikes",
        )
    return {"delay": np.broadcast_to(synapse.delay, synapse.weight.shape).astype("<f4")}


def bias_fields(lif: Lif) -> Data:
    """Return the bias in weight units, per channel where it does not differ within one.

    Raises:
        EmitError: It is no multiple of a weight unit, or needs more than 13 bits.
    """
    scaled = np.asarray(lif.bias_mantissa, np.int64)
    exponent = lif.bias_exponent
    scaled = scaled << exponent if exponent >= 0 else scaled >> -exponent
    mantissa = scaled >> INPUT_SHIFT
    if np.any(mantissa << INPUT_SHIFT != scaled):
        raise EmitError(
            f"bias with exponent {exponent} is no multiple of {1 << INPUT_SHIFT}; a netx file "
            f"holds mantissas of exponent {INPUT_SHIFT}",
            node=lif.name,
            hint=f"quantize with bias exponent {INPUT_SHIFT}",
        )
    low, high = BIAS_RANGE
    if mantissa.min() < low or mantissa.max() > high:
        raise EmitError(
            f"bias is {mantissa.min()} to {mantissa.max()} weight units; {low} to {high} is "
            "allowed (13 bits)",
            node=lif.name,
            hint="lower --levels, which scales biases down too",
        )
    if not mantissa.any():
        return {}
    return {"bias": _per_neuron(mantissa, lif.shape).astype("<f4")}


def neuron_fields(lif: Lif) -> Data:
    """Return the fields of the group ``neuron``.

    Raises:
        EmitError: A threshold or decay is out of range, or decays differ between neurons.
    """
    threshold = np.asarray(lif.threshold, np.int64)
    if threshold.min() < 0 or threshold.max() > THRESHOLD_MAX:
        raise EmitError(
            f"threshold is {threshold.min()} to {threshold.max()}; 0 to {THRESHOLD_MAX} is "
            "allowed",
            node=lif.name,
            hint="scale the weights and biases before it down with it",
        )
    decays = {"iDecay": lif.decay_u, "vDecay": lif.decay_v}
    for field, decay in decays.items():
        if np.size(decay) != 1 or not 0 <= decay <= DECAY_UNITY:
            raise EmitError(
                f"{field} is {decay}; one number from 0 to {DECAY_UNITY} is allowed",
                node=lif.name,
                hint="give all neurons of the population one decay",
            )
    return {
        "neuron/type": text("CUBA"),
        "neuron/vThMant": np.int64(threshold.flat[0])
        if np.all(threshold == threshold.flat[0])
        else _per_neuron(threshold, lif.shape),
        "neuron/iDecay": np.int64(lif.decay_u),
        "neuron/vDecay": np.int64(lif.decay_v),
        "neuron/refDelay": np.int64(1),
        "neuron/gradedSpike": np.bool_(False),
    }


def _per_neuron(values: IntArray, shape: Shape) -> IntArray:
    """Return values in the file's order: ``(N,)`` or ``(W, H, C)``.

    Where they are alike within each channel, ``(C,)`` is enough: Lava broadcasts the last axis.
    """
    each = np.broadcast_to(values, shape)
    if len(shape) == 3 and np.all(each == each[:, :1, :1]):
        return each[:, 0, 0]
    return each.T


def text(value: str) -> np.bytes_:
    """Return ``text`` in the form of a string that has the same bytes in every file."""
    return np.bytes_(value.encode())


def integers(values: tuple[int, ...]) -> IntArray:
    """Return ``values`` as 64-bit integers."""
    return np.array(values, np.int64)
