"""Write circuits as netx HDF5, lava-dl's network file, which stock Lava loads.

The file is a chain of layers: ``input``, then ``conv``, ``dense`` or ``dense_rec`` for each
population, with ``flatten`` before a dense layer that follows a ``(C, H, W)`` population. What
the stock reader would change on loading is refused, so a file that is written is run as the
circuit says. ``docs/netx.md`` lists the traps.

Attributes, which the stock reader does not look at, say what it has to be told on top of the
file (``input_message_bits``, ``reset_interval``, ``reset_offset``) and what the host needs to
know (``period``, ``latency``, ``readout_population``, ``readout_step``; for each layer
``population``, ``relays``, ``window_start``, ``window_length``, ``window_copies``). The group
``clock``, which it does not look at either, says what the input has to be given beside samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from targets.netx.chain import (
    LAVA,
    Block,
    Chain,
    chain_of,
    require_single_ends,
    require_stock_neurons,
)
from targets.netx.parameters import (
    Data,
    bias_fields,
    conv_fields,
    dense_fields,
    integers,
    neuron_fields,
    text,
)
from targets.netx.relays import relay_gates
from toolchain import __version__
from toolchain.errors import EmitError
from toolchain.ir.mapped import Circuit, ConvSynapse, DenseSynapse, Shape
from toolchain.target import FORMATS, from_circuit

FILE_NAME = "network.net"


class Layer(NamedTuple):
    """One group of the file: datasets by name, and attributes."""

    fields: Data
    attributes: Data


def emit_netx(circuit: Circuit, out_dir: Path) -> tuple[Path, ...]:
    """Write ``circuit`` to ``out_dir/network.net`` and return that path.

    The same circuit gives the same bytes.

    Raises:
        EmitError: The circuit is no chain and cannot be made one, or holds what the stock
            reader would not load as it is; the message names the synapse or population and its
            numbers.
    """
    require_stock_neurons(circuit)
    require_single_ends(circuit)
    chain = chain_of(relay_gates(circuit))
    before = chain.source.shape
    if chain.clock is not None:
        before = (int(np.prod(before)) + chain.clock.shape[0],)
    layers = [Layer({"type": text("input"), "shape": integers(before)}, {})]
    for block in chain.blocks:
        if isinstance(block.synapse, DenseSynapse) and len(before) == 3:
            size = integers((int(np.prod(before)),))
            layers.append(Layer({"type": text("flatten"), "shape": size}, {}))
        layers.append(_layer(circuit, block, before))
        before = block.population.shape
    path = out_dir / FILE_NAME
    _write(path, layers, _clock(chain), _root_attributes(circuit, chain))
    return (path,)


def _write(path: Path, layers: list[Layer], clock: Data, attributes: Data) -> None:
    """Write under another name first: the stock reader keeps the files it has read open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    try:
        with h5py.File(unfinished, "w") as file:
            file.attrs.update(attributes)
            for index, layer in enumerate(layers):
                _write_fields(file, f"layer/{index}", layer.fields)
                file[f"layer/{index}"].attrs.update(layer.attributes)
            _write_fields(file, "clock", clock)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_fields(file: h5py.File, group: str, fields: Data) -> None:
    for name, value in fields.items():
        file.create_dataset(f"{group}/{name}", data=value, track_times=False)


def _clock(chain: Chain) -> Data:
    """Return the timetable of the input's channels behind those of the sample."""
    if chain.clock is None:
        return {}
    steps = [step for step, _ in chain.clock.events]
    return {
        "sample_shape": integers(chain.source.shape),
        "steps": np.array(steps, np.int64),
        "values": np.array([values for _, values in chain.clock.events], np.int64),
    }


def _root_attributes(circuit: Circuit, chain: Chain) -> Data:
    attributes: Data = {
        "generator": text(f"snn-compile {__version__}"),
        "name": text(circuit.name),
        "period": np.int64(circuit.period),
        "latency": np.int64(circuit.latency),
        "input_message_bits": np.int64(
            max(source.message_bits for source in (chain.source, chain.clock) if source)
        ),
    }
    if circuit.readout is not None:
        attributes["readout_population"] = text(circuit.readout.population)
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
                hint=LAVA,
            )
    if interval is None:
        return {}
    return {"reset_interval": np.int64(interval), "reset_offset": np.int64(offset)}


def _layer(circuit: Circuit, block: Block, before: Shape) -> Layer:
    lif, synapse = block.population, block.synapse
    if isinstance(synapse, ConvSynapse):
        fields = conv_fields(synapse, lif, before)
    else:
        fields = dense_fields(block, synapse)
    attributes: Data = {"population": text(lif.name)}
    if relays := lif.shape[0] - circuit.nodes[lif.name].shape[0]:
        attributes["relays"] = np.int64(relays)
    if window := circuit.windows.get(lif.name):
        for key in ("start", "length", "copies"):
            attributes[f"window_{key}"] = np.int64(getattr(window, key))
    return Layer({**fields, **bias_fields(lif), **neuron_fields(lif)}, attributes)


FORMATS.register("netx")(from_circuit(emit_netx))
