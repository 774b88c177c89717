"""Write spatial circuits as netx HDF5, lava-dl's network file, which stock Lava loads.

The file is a chain of layers: ``input``, then ``conv``, ``dense`` or ``dense_rec`` for each
population, with ``flatten`` before a dense layer that follows a ``(C, H, W)`` population. What
the stock reader would change on loading is refused, so a file that is written is run as the
circuit says. ``docs/netx.md`` lists the traps.

Attributes, which the stock reader does not look at, say what it has to be told on top of the
file (``input_message_bits``, ``reset_interval``, ``reset_offset``) and what the host needs to
know (``period``, ``latency``, ``readout_population``, ``readout_step``; for each layer
``population``, ``window_start``, ``window_length``, ``window_copies``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import h5py
import numpy as np

from targets.formats._netx_chain import Block, Chain, chain_of
from targets.formats._netx_layers import Drive
from targets.formats._netx_reader import NetxNetwork, read_netx
from targets.formats._netx_run import NetxRun, encode, run_netx, run_on_netx, run_stock
from targets.formats._netx_weights import (
    WEIGHT_BITS,
    LoadedWeight,
    UnloadableWeightError,
    load_together,
)
from toolchain import __version__
from toolchain.errors import EmitError
from toolchain.fixedpoint import DECAY_UNITY, INPUT_SHIFT
from toolchain.ir.convolution import output_size
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    IntArray,
    Lif,
    Shape,
    SparseSynapse,
)
from toolchain.target import FORMATS

__all__ = [
    "Drive",
    "NetxNetwork",
    "NetxRun",
    "emit_netx",
    "encode",
    "read_netx",
    "run_netx",
    "run_on_netx",
    "run_stock",
]

FILE_NAME = "network.net"
MAX_DELAY = 62
THRESHOLD_MAX = (1 << 17) - 1
BIAS_RANGE = (-(1 << 12), (1 << 12) - 1)
GEOMETRY_MAX = 127
"""Lava holds stride, padding, dilation, kernel size and groups in eight bits with sign."""

Data: TypeAlias = dict[str, Any]


class Layer(NamedTuple):
    """One group of the file: datasets by name, and attributes."""

    fields: Data
    attributes: Data


@FORMATS.register("netx")
def emit_netx(circuit: Circuit, out_dir: Path) -> tuple[Path, ...]:
    """Write ``circuit`` to ``out_dir/network.net`` and return that path.

    The same circuit gives the same bytes.

    Raises:
        EmitError: The circuit is no chain, or holds what the stock reader would not load as it
            is; the message names the synapse or population and its numbers.
    """
    chain = chain_of(circuit)
    layers = [Layer({"type": _text("input"), "shape": _integers(chain.source.shape)}, {})]
    before = chain.source.shape
    for block in chain.blocks:
        if isinstance(block.synapse, DenseSynapse) and len(before) == 3:
            size = _integers((int(np.prod(before)),))
            layers.append(Layer({"type": _text("flatten"), "shape": size}, {}))
        layers.append(_layer(circuit, block, before))
        before = block.population.shape
    path = out_dir / FILE_NAME
    _write(path, layers, _root_attributes(circuit, chain))
    return (path,)


def _write(path: Path, layers: list[Layer], attributes: Data) -> None:
    """Write under another name first: the stock reader keeps the files it has read open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    try:
        with h5py.File(unfinished, "w") as file:
            file.attrs.update(attributes)
            for index, layer in enumerate(layers):
                group = file.create_group(f"layer/{index}")
                group.attrs.update(layer.attributes)
                for name, value in layer.fields.items():
                    group.create_dataset(name, data=value, track_times=False)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _root_attributes(circuit: Circuit, chain: Chain) -> Data:
    attributes: Data = {
        "generator": _text(f"snn-compile {__version__}"),
        "name": _text(circuit.name),
        "period": np.int64(circuit.period),
        "latency": np.int64(circuit.latency),
        "input_message_bits": np.int64(chain.source.message_bits),
    }
    if circuit.readout is not None:
        attributes["readout_population"] = _text(circuit.readout.population)
        attributes["readout_step"] = np.int64(circuit.readout.step)
    return attributes | _reset(chain)


def _reset(chain: Chain) -> Data:
    """Return interval and offset that the stock reader has to be given.

    Block k is then reset before every step t with ``t % interval == (offset + k) % interval``.
    """
    first = chain.blocks[0].population
    interval, offset = first.reset_interval, first.reset_offset
    for index, block in enumerate(chain.blocks):
        lif = block.population
        due = 0 if interval is None else (offset + index) % interval
        if lif.reset_interval != interval or (interval and lif.reset_offset != due):
            raise EmitError(
                f"is reset every {lif.reset_interval} steps at {lif.reset_offset}, and "
                f"{first.name!r} every {interval} at {offset}; the stock netx reader resets "
                "each block one step after the one before it",
                node=lif.name,
                hint="write the format 'lava' instead: --format lava",
            )
    if interval is None:
        return {}
    return {"reset_interval": np.int64(interval), "reset_offset": np.int64(offset)}


def _layer(circuit: Circuit, block: Block, before: Shape) -> Layer:
    lif, synapse = block.population, block.synapse
    if isinstance(synapse, ConvSynapse):
        fields = _conv(synapse, lif, before)
    else:
        fields = _dense(synapse, block.recurrent, lif)
    attributes: Data = {"population": _text(lif.name)}
    if window := circuit.windows.get(lif.name):
        for key in ("start", "length", "copies"):
            attributes[f"window_{key}"] = np.int64(getattr(window, key))
    return Layer({**fields, **_bias(lif), **_neuron(lif)}, attributes)


def _conv(synapse: ConvSynapse, lif: Lif, before: Shape) -> Data:
    weight = synapse.weight
    _check_kernel(synapse)
    _check_size(synapse, lif, before)
    return {
        "type": _text("conv"),
        "shape": _integers(lif.shape),
        "inChannels": np.int64(before[0]),
        "outChannels": np.int64(weight.shape[0]),
        "kernelSize": _integers(weight.shape[2:]),
        "stride": _integers(synapse.stride),
        "padding": _integers(synapse.padding),
        "dilation": _integers(synapse.dilation),
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
            hint="quantize with --weight-bits 8 or less",
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
        raise EmitError(f"gives {(out, *size)}, not {lif.shape}", node=synapse.name)


def _dense(synapse: DenseSynapse, loop: DenseSynapse | SparseSynapse | None, lif: Lif) -> Data:
    if len(lif.shape) != 1:
        raise EmitError(
            f"has shape {lif.shape} after a dense layer; (N,) is allowed",
            node=lif.name,
            hint="flatten before the layer",
        )
    written = {synapse.name: _effective(synapse)}
    if loop is not None:
        written[loop.name] = _effective(loop)
    _check_loaded(written)
    weight, *recurrent = (matrix.astype("<f4") for matrix in written.values())
    fields: Data = {
        "type": _text("dense_rec" if recurrent else "dense"),
        "shape": _integers(lif.shape),
        "inFeatures": np.int64(weight.shape[1]),
        "outFeatures": np.int64(weight.shape[0]),
        "weight": weight,
    }
    if recurrent:
        fields["weight_rec"] = recurrent[0]
    return fields | _delay(synapse, loop is not None)


def _effective(synapse: DenseSynapse | SparseSynapse) -> IntArray:
    """Return the whole numbers that a unit of input adds, exponent applied.

    Raises:
        EmitError: They are not whole.
    """
    if isinstance(synapse, SparseSynapse):
        mantissa: IntArray = synapse.weight.toarray()
    else:
        mantissa = synapse.weight
    loaded = LoadedWeight(mantissa.astype(np.int64), synapse.weight_exponent, WEIGHT_BITS)
    if loaded.effective is None:
        raise EmitError(
            f"weights of exponent {synapse.weight_exponent} are no whole numbers; a netx file "
            "holds whole numbers without exponent",
            node=synapse.name,
            hint="quantize with a weight exponent of 0 or above",
        )
    return loaded.effective


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
                hint="quantize with --weight-bits 8 or less",
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
                else "quantize with --weight-bits 8 or less",
            )


def _delay(synapse: DenseSynapse, has_loop: bool) -> Data:
    """Return delays as a matrix: the stock reader takes a vector for rows if it can."""
    if synapse.delay is None:
        return {}
    if has_loop:
        raise EmitError(
            "has delays beside a loop; the stock netx reader would delay both",
            node=synapse.name,
            hint="write the format 'lava' instead: --format lava",
        )
    if synapse.delay.min() < 0 or synapse.delay.max() > MAX_DELAY:
        raise EmitError(
            f"delays are {synapse.delay.min()} to {synapse.delay.max()}; 0 to {MAX_DELAY} is "
            "allowed",
            node=synapse.name,
            hint="add a population that relays the spikes",
        )
    return {"delay": np.broadcast_to(synapse.delay, synapse.weight.shape).astype("<f4")}


def _bias(lif: Lif) -> Data:
    """Return the bias in weight units, per channel where it does not differ within one."""
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
            hint="quantize with fewer weight bits, which scales biases down too",
        )
    if not mantissa.any():
        return {}
    each = np.broadcast_to(mantissa, lif.shape)
    if len(lif.shape) == 3 and np.all(each == each[:, :1, :1]):
        return {"bias": each[:, 0, 0].astype("<f4")}
    return {"bias": each.T.astype("<f4")}


def _neuron(lif: Lif) -> Data:
    threshold = np.unique(lif.threshold)
    if threshold.size > 1 or not 0 <= threshold[0] <= THRESHOLD_MAX:
        raise EmitError(
            f"threshold is {threshold[0]} to {threshold[-1]}; one number from 0 to "
            f"{THRESHOLD_MAX} for all neurons is allowed",
            node=lif.name,
            hint="let biases differ instead: bias - threshold is what counts",
        )
    decays = {"iDecay": lif.decay_u, "vDecay": lif.decay_v}
    for field, decay in decays.items():
        if np.size(decay) != 1 or not 0 <= decay <= DECAY_UNITY:
            raise EmitError(
                f"{field} is {decay}; one number from 0 to {DECAY_UNITY} is allowed",
                node=lif.name,
            )
    return {
        "neuron/type": _text("CUBA"),
        "neuron/vThMant": np.int64(threshold[0]),
        "neuron/iDecay": np.int64(lif.decay_u),
        "neuron/vDecay": np.int64(lif.decay_v),
        "neuron/refDelay": np.int64(1),
        "neuron/gradedSpike": np.bool_(False),
    }


def _text(text: str) -> np.bytes_:
    return np.bytes_(text.encode())


def _integers(values: tuple[int, ...]) -> IntArray:
    return np.array(values, np.int64)
