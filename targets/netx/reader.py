"""Read a netx file into a circuit that does what the stock reader's network does.

What the stock reader changes on loading, down to its bugs, is changed here too and noted; what
it skips without a word, computes as all zero or stops at is refused.

Source: ``lava.lib.dl.netx.hdf5`` 0.6.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from targets.netx.clock import read_clock
from targets.netx.fields import Fields, open_netx
from targets.netx.layers import DEFAULT_GAIN, INPUT, Chain, Drive
from targets.netx.neurons import NeuronOptions
from toolchain.ir.mapped import Circuit, Readout, Shape, Window

MESSAGE_BITS_MAX = 32


@dataclass(frozen=True, kw_only=True)
class NetxNetwork:
    """A netx file, ready to be simulated.

    Attributes:
        circuit: Its populations are the blocks, in order. A clock that the file has is a
            second source, with its events.
        drive: How the samples enter.
        gain: Factor of the file's affine input transform.
        offset: Summand of the file's affine input transform.
        notes: What the stock reader changes or does not heed in this file.
    """

    circuit: Circuit
    drive: Drive
    gain: int = DEFAULT_GAIN
    offset: int = 0
    notes: tuple[str, ...] = ()


def read_netx(
    path: Path,
    *,
    num_layers: int | None = None,
    input_shape: Shape | None = None,
    input_message_bits: int | None = None,
    reset_interval: int | None = None,
    reset_offset: int | None = None,
    spike_exponent: int = 6,
) -> NetxNetwork:
    """Read a netx file with CUBA (LIF) or sigma-delta neurons.

    Args:
        path: Of the file.
        num_layers: Layers to read, counted as in the file; `None` for all.
        input_shape: Shape of the samples, ``(C, H, W)``, for a file that begins with ``conv``.
        input_message_bits: Width of graded input spikes, 0 for binary ones. `None` is what the
            file says if snn-compile wrote it, else 0.
        reset_interval: Time steps between resets of ``u`` and ``v``. `None` is what the file
            says if snn-compile wrote it, else no reset.
        reset_offset: The stock reader's ``reset_offset``: block k is reset before the steps t,
            counted from 0, with ``t % reset_interval == (reset_offset + k) % reset_interval``.
            `None` as above, else 0.
        spike_exponent: Binary places of the payloads of sigma-delta neurons, 0 to 12.

    Raises:
        ImportModelError: The file is damaged, or has what the stock reader cannot run.
    """
    path = Path(path)
    with open_netx(path) as root:
        bits = _setting(root, "input_message_bits", input_message_bits) or 0
        if not 0 <= bits <= MESSAGE_BITS_MAX:
            raise root.error(
                "input_message_bits", f"is {bits}; 0 to {MESSAGE_BITS_MAX} is allowed"
            )
        chain = Chain(
            options=_options(root, reset_interval, reset_offset, spike_exponent),
            input_shape=input_shape,
            message_bits=bits,
            clock=read_clock(root),
        )
        layers = _layers(root, num_layers)
        for layer in layers:
            chain.read(layer)
        if not chain.populations:
            raise root.error("layer", "has no layer with neurons")
        if chain.clock is not None and len(chain.sources) == 1:
            raise root.error("clock", "is for a first layer of type dense or dense_rec")
        return NetxNetwork(
            circuit=_circuit(root, chain, _windows(layers)),
            drive=chain.drive,
            gain=chain.gain,
            offset=chain.offset,
            notes=tuple(chain.notes),
        )


def _circuit(root: Fields, chain: Chain, windows: Mapping[str, Window]) -> Circuit:
    """Return the circuit, with the timetable if snn-compile wrote one."""
    populations = tuple(chain.populations)
    depth = len(populations) + (chain.drive is Drive.SPIKES)
    read_from = root.text_attribute("readout_population")
    step = root.integer_attribute("readout_step")
    has_readout = step is not None and populations[-1].name == read_from
    latency = root.integer_attribute("latency") or depth
    if has_readout and step is not None and step >= latency:
        raise root.error("readout_step", f"is {step}; a sample takes {latency} steps")
    return Circuit(
        name=root.text_attribute("name") or root.path.stem,
        sources=chain.sources,
        populations=populations,
        synapses=tuple(chain.synapses),
        inputs=(INPUT,),
        period=root.integer_attribute("period") or chain.options.reset_interval or 1,
        latency=latency,
        windows={
            name: windows[name] for name in windows if name in {p.name for p in populations}
        },
        readouts=(Readout(populations[-1].name, step or 0),) if has_readout else (),
    )


def _windows(layers: list[Fields]) -> Mapping[str, Window]:
    """Return the windows that snn-compile wrote, by population."""
    windows = {}
    for layer in layers:
        name = layer.text_attribute("population")
        start, length, copies = (
            layer.integer_attribute(f"window_{key}") for key in ("start", "length", "copies")
        )
        if name is not None and start is not None and length is not None:
            windows[name] = Window(start, length, copies or 1)
    return windows


def _options(
    root: Fields, interval: int | None, offset: int | None, spike_exponent: int
) -> NeuronOptions:
    interval = _setting(root, "reset_interval", interval)
    if interval is not None and interval < 1:
        raise root.error("reset_interval", f"is {interval}; 1 or more is allowed")
    offset = _setting(root, "reset_offset", offset) or 0
    return NeuronOptions(interval, offset, spike_exponent)


def _setting(root: Fields, name: str, asked: int | None) -> int | None:
    """Return what was asked for, else what snn-compile wrote as an attribute of the file."""
    if asked is not None:
        return asked
    return root.integer_attribute(name)


def _layers(root: Fields, num_layers: int | None) -> list[Fields]:
    group = root.group("layer", "layer")
    count = len(group.names())
    if num_layers is not None:
        if num_layers < 1:
            raise root.error("layer", f"{num_layers} layers asked for; 1 or more is allowed")
        count = min(count, num_layers)
    return [group.group(str(index), f"layer {index}") for index in range(count)]
