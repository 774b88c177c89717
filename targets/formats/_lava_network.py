"""Run the circuit of this folder on the stock Lava CPU simulator.

    python run.py inputs.npz [--output trace.npz] [--record POPULATION ...]

``inputs.npz`` holds one integer array ``inputs``: encoded samples, ``(samples, *shape of the
input source)``; those of several sources are flattened and follow each other, and so do
several outputs. Sample ``i`` starts in time step ``i * period``. The readout of every sample is
printed, and written with the recorded spikes where ``--output`` says. Needs lava-nc 0.10.0,
SciPy and a NumPy below 2.

Populations are stock ``LIF``, ``LIFReset``, ``Delta``, ``SigmaDelta`` and ``Sigma``
processes, synapses stock ``Dense``, ``DelayDense``, ``Sparse`` and ``Conv`` processes; only
the sources, the recorders and the neurons of the radix lowering are defined here. Lava's
convolution wants arrays in the order
``(W, H, C)``, so every population is a vector in that order and the matrices of the other
synapses are permuted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable  # noqa: F401  used by the functions copied in
from pathlib import Path
from typing import Any

import numpy as np

from targets.lava_compat import hash_lava_dataclasses, watch_lava_processes
from toolchain.ir.archive import read_archive

hash_lava_dataclasses()

from lava.magma.core.decorator import implements, requires, tag  # noqa: E402
from lava.magma.core.model.py.model import PyLoihiProcessModel  # noqa: E402
from lava.magma.core.model.py.ports import PyInPort, PyOutPort, PyRefPort  # noqa: E402
from lava.magma.core.model.py.type import LavaPyType  # noqa: E402
from lava.magma.core.process.ports.ports import InPort, OutPort, RefPort  # noqa: E402
from lava.magma.core.process.process import AbstractProcess  # noqa: E402
from lava.magma.core.process.variable import Var  # noqa: E402, F401  used by the neurons
from lava.magma.core.resources import CPU  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol  # noqa: E402
from lava.proc.conv.process import Conv  # noqa: E402
from lava.proc.dense.process import DelayDense, Dense  # noqa: E402
from lava.proc.lif.process import LIF, LIFReset  # noqa: E402
from lava.proc.sdn.process import Delta, Sigma, SigmaDelta  # noqa: E402
from lava.proc.sparse.process import Sparse  # noqa: E402
from lava.utils.weightutils import SignMode  # noqa: E402

from targets.formats._lava_neurons import RadixMaximum, RadixNeurons  # noqa: E402

CHANNEL_SIZE = 2  # messages a channel holds; Lava's 64 fill the shared memory of large networks


class Player(AbstractProcess):  # type: ignore[misc]
    """Sends ``values[rows[t]]`` in step ``t``, and 0 where the row is negative."""

    def __init__(self, name: str, values: Any, rows: Any) -> None:
        super().__init__(name=name, values=values.astype(np.int32), rows=rows)
        self.s_out = OutPort(shape=values.shape[1:])


class SpikeRecorder(AbstractProcess):  # type: ignore[misc]
    """Writes what arrives in step ``t`` to row ``t`` of the array file ``path``."""

    def __init__(self, name: str, path: str, size: int) -> None:
        super().__init__(name=name, path=path)
        self.a_in = InPort(shape=(size,))


class StateRecorder(AbstractProcess):  # type: ignore[misc]
    """Writes a variable as it is after step ``t`` to row ``rows[t]`` of the file ``path``."""

    def __init__(self, name: str, path: str, size: int, rows: Any) -> None:
        super().__init__(name=name, path=path, rows=rows)
        self.state = RefPort(shape=(size,))


@implements(proc=Player, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PlayerModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Model of `Player`."""

    s_out = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def run_spk(self) -> None:
        values, row = self.proc_params["values"], self.proc_params["rows"][self.time_step - 1]
        self.s_out.send(values[row] if row >= 0 else np.zeros_like(values[0]))


@implements(proc=SpikeRecorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SpikeRecorderModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Model of `SpikeRecorder`."""

    a_in = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    record = None

    def run_spk(self) -> None:
        if self.record is None:
            self.record = np.load(self.proc_params["path"], mmap_mode="r+")
        self.record[self.time_step - 1] = self.a_in.recv()


@implements(proc=StateRecorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class StateRecorderModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Model of `StateRecorder`."""

    state = LavaPyType(PyRefPort.VEC_DENSE, np.int32)
    record = None

    def post_guard(self) -> bool:
        return bool(self.proc_params["rows"][self.time_step - 1] >= 0)

    def run_post_mgmt(self) -> None:
        if self.record is None:
            self.record = np.load(self.proc_params["path"], mmap_mode="r+")
        self.record[self.proc_params["rows"][self.time_step - 1]] = self.state.read()


class Network:
    """The processes of one circuit, for one run.

    Attributes:
        circuit: As `read_archive` returns it.
        starts: First time step of every sample.
        steps: Time steps of the run.
        folder: Where records are written.
        records: File and shape by name of the record.
        processes: Sources and populations by name.
        base: The process that the run is started from.
    """

    def __init__(self, circuit: dict[str, Any], inputs: Any, folder: str) -> None:
        self.circuit = circuit
        self.starts = circuit["period"] * np.arange(len(inputs))
        self.steps = int(self.starts[-1]) + circuit["latency"]
        self.folder = folder
        self.records: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.nodes = {
            node["name"]: node for node in (*circuit["sources"], *circuit["populations"])
        }
        self.processes = {pop["name"]: population(pop) for pop in circuit["populations"]}
        self.base = self.processes[circuit["populations"][0]["name"]]
        for source in circuit["sources"]:
            self.processes[source["name"]] = self.player(source, inputs)
        for synapse in circuit["synapses"]:
            self.connect(synapse)

    def player(self, source: dict[str, Any], inputs: Any) -> Any:
        """Return the process of a source: the samples, or what is the same in every sample."""
        rows = np.full(self.steps, -1)
        if source["name"] in self.circuit["inputs"]:
            rows[self.starts] = np.arange(len(inputs))
            values = self.part(source, inputs.reshape(len(inputs), -1))
        else:
            for row, (step, _) in enumerate(source["events"]):
                rows[self.starts + step] = row
            values = np.array([values for _, values in source["events"]])
        return Player(source["name"], lava_order(values.reshape(-1, *source["shape"])), rows)

    def part(self, source: dict[str, Any], inputs: Any) -> Any:
        """Return what a source takes of flattened samples, which hold all inputs in a row."""
        names = self.circuit["inputs"]
        sizes = [int(np.prod(self.nodes[name]["shape"])) for name in names]
        first = sum(sizes[: names.index(source["name"])])
        return inputs[:, first : first + int(np.prod(source["shape"]))]

    def connect(self, synapse: dict[str, Any]) -> None:
        """Create the process of a synapse between its source and its target."""
        source, target = self.nodes[synapse["source"]], self.nodes[synapse["target"]]
        spikes = self.processes[source["name"]].s_out
        arrival = self.processes[target["name"]].a_in
        if synapse["type"] == "Injection":
            spikes.connect(arrival)
        elif synapse["type"] == "ConvSynapse":
            process = convolution(synapse, source)
            spikes.reshape(process.s_in.shape).connect(process.s_in)
            process.a_out.reshape(arrival.shape).connect(arrival)
        else:
            process = matrix(synapse, source, target)
            spikes.connect(process.s_in)
            process.a_out.connect(arrival)

    def record_spikes(self, name: str) -> None:
        """Record the spikes of a population in every step, as ``"spikes NAME"``."""
        process = self.processes[name]
        kind = np.int32 if "message_bits" in self.nodes[name] else np.int8
        path = self._file(f"spikes {name}", name, self.steps, kind)
        recorder = SpikeRecorder(f"record {name}", path, process.s_out.shape[0])
        process.s_out.connect(recorder.a_in)

    def record_state(self, name: str, register: str, steps: Any, key: str) -> None:
        """Record ``u`` or ``v`` of a population as it is after the given steps."""
        variable = getattr(self.processes[name], register)
        rows = np.full(self.steps, -1)
        rows[steps] = np.arange(len(steps))
        path = self._file(key, name, len(steps), np.int32)
        recorder = StateRecorder(f"record {key}", path, variable.shape[0], rows)
        recorder.state.connect_var(variable)

    def _file(self, key: str, name: str, length: int, kind: type) -> str:
        """Create the file of a record; the recorder fills it."""
        shape = self.nodes[name]["shape"]
        path = str(Path(self.folder, f"{len(self.records)}.npy"))
        np.save(path, np.zeros((length, int(np.prod(shape))), kind))
        self.records[key] = (path, shape)
        return path

    def run(self) -> dict[str, Any]:
        """Run all time steps and return the records, channels first."""
        watch_lava_processes()
        self.base.run(
            condition=RunSteps(self.steps),
            run_cfg=Loihi2SimCfg(select_tag="fixed_pt"),
            compile_config={"pypy_channel_size": CHANNEL_SIZE},
        )
        self.base.stop()
        records = self.records.items()
        return {key: channel_order(np.load(path), shape) for key, (path, shape) in records}


def lava_order(values: Any) -> Any:
    """Turn ``(n, C, H, W)`` or ``(n, N)`` into vectors ``(n, W * H * C)`` in Lava's order."""
    return values.transpose(0, *range(values.ndim - 1, 0, -1)).reshape(len(values), -1)


def channel_order(vectors: Any, shape: tuple[int, ...]) -> Any:
    """Undo `lava_order`; ``shape`` is ``(C, H, W)`` or ``(N,)``."""
    values = vectors.reshape(len(vectors), *shape[::-1])
    return values.transpose(0, *range(values.ndim - 1, 0, -1))


def permutation(shape: tuple[int, ...]) -> Any:
    """Return the channel-first index of every element of a vector in Lava's order."""
    return lava_order(np.arange(np.prod(shape)).reshape(1, *shape))[0]


def population(node: dict[str, Any]) -> Any:
    """Return the process of a population."""
    shape = (int(np.prod(node["shape"])),)

    def per_neuron(value: Any) -> Any:
        if np.ndim(value) == 0:
            return int(value)
        return lava_order(np.broadcast_to(value, (1, *node["shape"])))[0]

    if node["type"] == "Lif":
        return lif(node, shape, per_neuron)
    if node["type"] == "Sigma":
        return Sigma(shape=shape)
    if node["type"] in ("Radix", "RadixMax"):
        kind = RadixNeurons if node["type"] == "Radix" else RadixMaximum
        arrays = ("threshold", "bias", "ceiling", "shift")
        return kind(
            shape=shape,
            **{
                key: per_neuron(value) if key in arrays else value
                for key, value in node.items()
                if key not in ("type", "shape")
            },
        )
    settings = {
        "shape": shape,
        "vth": int(node["threshold"]),
        "spike_exp": node["spike_exponent"],
        "state_exp": node["state_exponent"],
    }
    if node["type"] == "Delta":
        return Delta(**settings)
    return SigmaDelta(**settings, bias=per_neuron(node["bias"]))


def lif(node: dict[str, Any], shape: tuple[int], per_neuron: Any) -> Any:
    """Return the process of a LIF population.

    Lava's step counter starts at 1, ours at 0, and its model adds 1 to ``du``.
    """
    settings = {
        "name": node["name"],
        "shape": shape,
        "du": per_neuron(np.asarray(node["decay_u"]) - 1),
        "dv": per_neuron(node["decay_v"]),
        "vth": per_neuron(node["threshold"]),
        "bias_mant": per_neuron(node["bias_mantissa"]),
        "bias_exp": node["bias_exponent"],
    }
    interval = node["reset_interval"]
    if interval is None:
        return LIF(**settings)
    offset = (node["reset_offset"] + 1) % interval
    return LIFReset(**settings, reset_interval=interval, reset_offset=offset)


def convolution(synapse: dict[str, Any], source: dict[str, Any]) -> Any:
    """Return the process of shared connections; Lava convolves where we correlate."""
    return Conv(
        name=synapse["name"],
        weight=synapse["weight"][:, :, ::-1, ::-1].transpose(0, 3, 2, 1),
        input_shape=tuple(source["shape"][::-1]),
        stride=tuple(synapse["stride"][::-1]),
        padding=tuple(synapse["padding"][::-1]),
        dilation=tuple(synapse["dilation"][::-1]),
        groups=synapse["groups"],
        num_message_bits=source.get("message_bits", 0),
    )


def matrix(synapse: dict[str, Any], source: dict[str, Any], target: dict[str, Any]) -> Any:
    """Return the process of a dense or sparse matrix; Lava takes its mantissas as they are."""
    rows, columns = permutation(target["shape"]), permutation(source["shape"])
    weights = synapse["weight"][rows][:, columns].astype(np.int32)
    settings = {
        "name": synapse["name"],
        "weights": weights,
        "weight_exp": synapse["weight_exponent"],
        "num_weight_bits": 8,
        "sign_mode": sign_mode(weights),
        "num_message_bits": source.get("message_bits", 0),
    }
    if synapse["type"] == "SparseSynapse":
        return Sparse(**settings)
    if synapse["delay"] is None or not np.any(synapse["delay"]):
        return Dense(**settings)
    delays = np.broadcast_to(synapse["delay"], weights.shape)[rows][:, columns].astype(int)
    return DelayDense(**settings, delays=delays)


def sign_mode(weights: Any) -> Any:
    """Return the mode in which 8 bits hold the mantissas: one sign, or even of both."""
    lowest, highest = (weights.min(), weights.max()) if weights.size else (0, 0)
    if lowest >= 0:
        return SignMode.EXCITATORY
    return SignMode.INHIBITORY if highest <= 0 and lowest >= -255 else SignMode.MIXED


def simulate(
    circuit: dict[str, Any], inputs: Any, record: list[str], record_state: list[str]
) -> dict[str, Any]:
    """Run the samples and return what was recorded, by name.

    Returns:
        ``"spikes NAME"`` ``(steps, *shape)`` for ``record``, ``"u NAME"`` and ``"v NAME"``
        ``(steps, *shape)`` for ``record_state``, and ``"outputs"`` ``(samples, *shape)`` if the
        circuit has readouts; of several, flattened one after the other. Steps are counted over
        the whole run.
    """
    with tempfile.TemporaryDirectory() as folder:
        network = Network(circuit, inputs, folder)
        for name in record:
            network.record_spikes(name)
        for name in record_state:
            for register in ("u", "v"):
                network.record_state(
                    name, register, np.arange(network.steps), f"{register} {name}"
                )
        for index, readout in enumerate(circuit["readouts"]):
            steps = network.starts + readout["step"]
            network.record_state(readout["population"], "v", steps, f"output {index}")
        return with_outputs(network.run(), len(circuit["readouts"]))


def with_outputs(trace: dict[str, Any], readouts: int) -> dict[str, Any]:
    """Return the records with what was read out under ``"outputs"``."""
    parts = [trace.pop(f"output {index}") for index in range(readouts)]
    if len(parts) > 1:
        parts = [np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)]
    return {**trace, "outputs": parts[0]} if parts else trace


def main() -> None:
    """Read the arguments, run the samples, print and write what they give."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("inputs", help="file with the array 'inputs', (samples, *input shape)")
    parser.add_argument("--output", help="file to write spikes and outputs to, .npz")
    parser.add_argument(
        "--record", nargs="*", default=[], help="populations to record spikes of"
    )
    parser.add_argument(
        "--record-state", nargs="*", default=[], help="... to record u and v of"
    )
    arguments = parser.parse_args()
    circuit = read_archive(str(Path(__file__).with_name("circuit.npz")))
    with np.load(arguments.inputs) as archive:
        inputs = archive["inputs"]
    trace = simulate(circuit, inputs, arguments.record, arguments.record_state)
    for index, output in enumerate(trace.get("outputs", ())):
        print(f"sample {index}:", *output.ravel())  # noqa: T201
    if arguments.output is not None:
        np.savez(arguments.output, **trace)


if __name__ == "__main__":
    main()
