"""Run netx files: on the simulator, and in the stock reader's network on Lava."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.formats.lava_process import LavaTrace, run_script
from targets.lava_compat import require_lava
from targets.netx.clock import with_clock
from targets.netx.layers import Drive
from targets.netx.reader import NetxNetwork, read_netx
from targets.simulator._recorder import Record
from targets.simulator.step import Trace, everything, simulate
from toolchain.errors import InputDataError, MissingDependencyError
from toolchain.ir.mapped import Circuit, IntArray, Lif, Shape
from toolchain.ir.sigma_delta import Sigma

NEVER = 131071
"""Threshold mantissa from which neurons are taken to hold a value instead of spiking."""

MAX_HELD = 1 << 27
"""Values of the inputs and outputs of a run, all samples and steps, that are held in memory."""

_SCRIPT = Path(__file__).with_name("stock.py")


@dataclass(frozen=True, kw_only=True, eq=False)
class NetxRun:
    """What a netx file computed for some samples, all side by side and from rest.

    Attributes:
        network: As it was read, with notes on what the stock reader does not heed.
        trace: Registers and spikes that were recorded, ``(samples, time_steps, *shape)``.
    """

    network: NetxNetwork
    trace: Trace

    @property
    def output(self) -> npt.NDArray[Any]:
        """Spikes or payloads of the last block, ``(samples, time_steps, *shape)``."""
        return self.trace.spikes[self.network.circuit.populations[-1].name]

    @property
    def answer(self) -> npt.NDArray[np.int64]:
        """What the last block says of each sample, ``(samples, *shape)``.

        ``v`` of neurons that never spike, after the readout's step if the file names one, else
        after the last; the latest payload of `Sigma` neurons; the sum over all steps of what
        others send, which for LIF neurons is the spike count.

        Raises:
            InputDataError: The samples are shorter than the readout's step.
        """
        circuit = self.network.circuit
        last = circuit.populations[-1]
        if isinstance(last, Sigma):
            return self.output[:, -1].astype(np.int64)
        if isinstance(last, Lif) and np.min(last.threshold) >= NEVER:
            step = -1 if circuit.readout is None else circuit.readout.step
            v = self.trace.v[last.name]
            if step >= v.shape[1]:
                raise InputDataError(
                    f"is read out in step {step}, and the samples have {v.shape[1]} time steps",
                    node=last.name,
                )
            return v[:, step].astype(np.int64)
        return self.output.sum(axis=1, dtype=np.int64)


def run_netx(
    path: Path,
    x: npt.NDArray[Any],
    *,
    time_steps: int | None = None,
    is_encoded: bool = False,
    record: Record | None = None,
    num_layers: int | None = None,
    input_shape: Shape | None = None,
    input_message_bits: int | None = None,
    reset_interval: int | None = None,
    reset_offset: int | None = None,
    spike_exponent: int = 6,
) -> NetxRun:
    """Run a netx file on the simulator, every sample from rest.

    Args:
        path: Of the file.
        x: ``(samples, *shape)`` or ``(samples, time_steps, *shape)``, channel first. Without
            time axis, samples that enter as bias or current are held for all steps, and samples
            that enter as spikes are sent once, in step 0.
        time_steps: Length of the run; `None` is the time axis of ``x``, else what one sample
            takes through all layers.
        is_encoded: ``x`` holds the integers that the network gets. Otherwise samples that
            enter as bias or current become ``gain * x + offset`` of the file, cut off toward
            zero, and those that enter as spikes must be integers.
        record: As for `simulate`, beside all of the last block.
        num_layers: See `read_netx`, as all that follow.
        input_shape: Shape of the samples, for a file that begins with ``conv``.
        input_message_bits: Width of graded input spikes.
        reset_interval: Time steps between resets.
        reset_offset: Phase of the resets.
        spike_exponent: Binary places of payloads.

    Raises:
        ImportModelError: The file cannot be read.
        InputDataError: ``x`` does not fit the network.
        RangeError: A number leaves the range in which the simulator equals Lava.
    """
    network = read_netx(
        path,
        num_layers=num_layers,
        input_shape=input_shape,
        input_message_bits=input_message_bits,
        reset_interval=reset_interval,
        reset_offset=reset_offset,
        spike_exponent=spike_exponent,
    )
    inputs = encode(network, np.asarray(x), time_steps, is_encoded=is_encoded)
    circuit = network.circuit
    last = circuit.populations[-1].name
    record = {**(record or {}), last: everything(circuit)[last]}
    trace = simulate(circuit, {circuit.input: inputs}, inputs.shape[1], record=record)
    return NetxRun(network=network, trace=trace)


def encode(
    network: NetxNetwork,
    x: npt.NDArray[Any],
    time_steps: int | None = None,
    *,
    is_encoded: bool = False,
) -> IntArray:
    """Return what the input source sends, ``(samples, time_steps, *shape)``; see `run_netx`.

    Raises:
        InputDataError: ``x`` does not fit the network.
    """
    circuit = network.circuit
    source = circuit.sources[0]
    x = _with_time_axis(network, x, time_steps or circuit.latency)
    if time_steps not in (None, x.shape[1]):
        raise InputDataError(
            f"has {x.shape[1]} time steps, and {time_steps} are asked for", node=source.name
        )
    if network.drive is not Drive.SPIKES and not is_encoded:
        x = network.gain * x.astype(np.float64) + network.offset
    elif np.any(x != x.astype(np.int64)):
        raise InputDataError(
            f"holds {x.dtype} numbers that are not whole; the network takes spikes",
            node=source.name,
            hint="encode the samples as spikes",
        )
    encoded = x.astype(np.int64)
    if network.drive is Drive.SPIKES and source.message_bits == 0:
        encoded = (encoded != 0).astype(np.int64)
    return encoded


def _with_time_axis(
    network: NetxNetwork, x: npt.NDArray[Any], time_steps: int
) -> npt.NDArray[Any]:
    source = network.circuit.sources[0]
    size = int(np.prod(source.shape))
    _require_room(network, len(x), time_steps)
    if x.dtype.kind not in "biuf" or not x.size or not np.all(np.isfinite(x)):
        raise InputDataError("holds no finite numbers", node=source.name)
    for shape in (source.shape, (size,)):
        if x.shape[1:] == shape:
            held = np.zeros((len(x), time_steps, *source.shape), x.dtype)
            steps = slice(0, 1) if network.drive is Drive.SPIKES else slice(None)
            held[:, steps] = x.reshape(len(x), 1, *source.shape)
            return held
        if x.shape[2:] == shape:
            return x.reshape(*x.shape[:2], *source.shape)
    raise InputDataError(
        f"has shape {x.shape}; (samples, *{source.shape}) or (samples, time_steps, "
        f"*{source.shape}) is needed",
        node=source.name,
    )


def _require_room(network: NetxNetwork, samples: int, time_steps: int) -> None:
    """Refuse a run whose inputs and outputs would take too much memory."""
    circuit = network.circuit
    ends = (circuit.sources[0].shape, circuit.populations[-1].shape)
    held = samples * time_steps * sum(int(np.prod(shape)) for shape in ends)
    if held > MAX_HELD:
        raise InputDataError(
            f"takes {time_steps} time steps for each of {samples} samples, {held} values in "
            f"and out; {MAX_HELD} are held at once",
            node=circuit.sources[0].name,
            hint="run fewer samples, or see whether the file's latency is right",
        )


def run_on_netx(
    path: Path,
    circuit: Circuit,
    inputs: IntArray,
    record: Collection[str] | None = None,
    *,
    record_state: Collection[str] = (),
    timeout_s: float = 600,
) -> LavaTrace:
    """Run samples one after the other in the stock netx network, on Lava's CPU simulator.

    Args:
        path: File that `emit_netx` wrote for ``circuit``.
        circuit: Names the populations and says when samples start. Relays that the file has
            beside its neurons are left out.
        inputs: Encoded samples, ``(samples, *shape of the input source)``.
        record: Populations whose spikes are returned; `None` for all.
        record_state: Populations whose registers are returned, beside the outputs.
        timeout_s: Time the run may take, in seconds.

    Raises:
        ImportModelError: The file is not one that `emit_netx` wrote.
        InputDataError: The samples do not fit the input source.
        LavaError: A Lava process failed, with its traceback, or the time is up.
        MissingDependencyError: lava-nc or lava-dl is not installed.
    """
    network = read_netx(path)
    names = [population.name for population in network.circuit.populations]
    source = network.circuit.sources[0]
    if not len(inputs) or inputs.shape[1:] != source.shape:
        raise InputDataError(
            f"has shape {inputs.shape}; (samples, *{source.shape}) is needed", node=source.name
        )
    steps = circuit.period * (len(inputs) - 1) + circuit.latency
    stream = np.zeros((steps, *source.shape), np.int64)
    stream[:: circuit.period][: len(inputs)] = inputs
    readout = circuit.readout
    wanted = [*record_state] + ([] if readout is None else [readout.population])
    trace = run_stock(
        path,
        network,
        stream,
        states=[names.index(name) for name in wanted],
        timeout_s=timeout_s,
    )
    starts = circuit.period * np.arange(len(inputs))
    within = starts[:, None] + np.arange(circuit.latency)
    own = {name: slice(circuit.nodes[name].shape[0]) for name in names if name in circuit.nodes}
    spikes = {
        name: trace[f"spikes {index}"][within][:, :, own[name]]
        for index, name in enumerate(names)
        if record is None or name in record
    }
    registers = {
        register: {
            name: trace[f"{register} {names.index(name)}"][:, own[name]]
            for name in record_state
        }
        for register in ("u", "v")
    }
    outputs = None
    if readout is not None:
        outputs = trace[f"v {names.index(readout.population)}"][starts + readout.step]
    return LavaTrace(spikes, outputs, registers["u"], registers["v"])


def run_stock(
    path: Path,
    network: NetxNetwork,
    inputs: IntArray,
    *,
    states: Collection[int] = (),
    num_layers: int | None = None,
    timeout_s: float = 600,
) -> dict[str, IntArray]:
    """Run any netx file in the stock network, block by block as ``network`` has it.

    Args:
        path: Of the file.
        network: The same file, read with the same settings.
        inputs: What the source sends, ``(time_steps, *shape)``; constant for `Drive.BIAS`.
            Clock channels of the file are added.
        states: Indices of the blocks whose registers are returned.
        num_layers: As given to `read_netx`.
        timeout_s: Time the run may take, in seconds.

    Returns:
        ``"spikes K"`` for every block K, and for ``states`` ``"u K"`` and ``"v K"``, or
        ``"sigma K"`` of sigma-delta neurons, ``(time_steps, *shape)``.

    Raises:
        LavaError: A Lava process failed, with its traceback, or the time is up.
        MissingDependencyError: lava-nc or lava-dl is not installed.
    """
    require_lava()
    _require_lava_dl()
    first = network.circuit.populations[0]
    source = network.circuit.sources[0]
    request: dict[str, Any] = {
        "path": str(Path(path).resolve()),
        "drive": network.drive.value,
        "inputs": with_clock(network.circuit, inputs),
        "states": np.array([*states], np.int64),
        "input_message_bits": source.message_bits if network.drive is Drive.SPIKES else 0,
        "spike_exponent": getattr(first, "spike_exponent", 6),
    }
    if num_layers is not None:
        request["num_layers"] = num_layers
    if isinstance(first, Lif) and first.reset_interval is not None:
        request |= {"reset_interval": first.reset_interval, "reset_offset": first.reset_offset}
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "request.npz"), Path(folder, "trace.npz")
        np.savez(asked, **request)
        run_script(_SCRIPT, [str(asked), str(answer)], timeout_s)
        with np.load(answer) as trace:
            return dict(trace)


def _require_lava_dl() -> None:
    try:
        version("lava-dl")
    except PackageNotFoundError:
        raise MissingDependencyError(
            "lava-dl is not installed", hint="install it: pip install 'snn-compile[lava]'"
        ) from None
