"""What the simulator takes, checked before the first step.

Within these limits it agrees with Lava's fixed-point models in every bit. Beyond them Lava
clips, truncates or wraps numbers in types of its own choosing (16-bit biases, 8-bit convolution
geometry), and so the circuit is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from toolchain.errors import RangeError, VerifyError
from toolchain.fixedpoint import DECAY_UNITY, STATE_LIMIT
from toolchain.ir.convolution import output_size
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Injection,
    Lif,
    Shape,
    Source,
    SparseSynapse,
    Synapse,
)
from toolchain.ir.radix import Radix, RadixMax
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

_EXPONENTS = range(-31, 32)
_INT32_LIMIT = 1 << 31
_GEOMETRY_LIMIT = 127
_PLACES_MAX = 16
_SHIFT_MAX = 15


def check_circuit(circuit: Circuit) -> None:
    """Check every node and synapse of ``circuit``.

    Raises:
        RangeError: A number is outside the range in which the simulator equals Lava.
        VerifyError: Names or shapes do not fit together.
    """
    names = [node.name for node in (*circuit.sources, *circuit.populations, *circuit.synapses)]
    for name in names:
        if names.count(name) > 1:
            raise VerifyError("the name is used twice in the circuit", node=name)
    for node in circuit.nodes.values():
        if not node.shape or min(node.shape) < 1:
            raise VerifyError(f"has shape {node.shape}, and no neurons", node=node.name)
    for source in circuit.sources:
        for _, values in source.events:
            _require_shape(values, source.shape, "an event", source.name)
            check_payloads(source, values)
    for population in circuit.populations:
        _check_population(population)
    _check_timetable(circuit)
    for synapse in circuit.synapses:
        _check_ends(circuit, synapse)
        _check_synapse(
            synapse, circuit.nodes[synapse.source].shape, circuit.nodes[synapse.target].shape
        )


def _check_timetable(circuit: Circuit) -> None:
    """Check that inputs, windows and readouts are where they say."""
    sources = {source.name for source in circuit.sources}
    for name in circuit.inputs:
        if name not in sources:
            raise VerifyError(f"its input {name!r} is no source", node=circuit.name)
    populations = {population.name: population for population in circuit.populations}
    read = (readout.population for readout in circuit.readouts)
    for name in (*circuit.windows, *read):
        if name not in populations:
            raise VerifyError("the timetable names no population", node=name)
    for name, window in circuit.windows.items():
        _require_range(window.copies, range(1, _INT32_LIMIT), "copies", name)
        if populations[name].shape[0] % window.copies:
            raise VerifyError(
                f"{populations[name].shape} is not made of {window.copies} copies", node=name
            )


def check_payloads(source: Source, values: npt.NDArray[Any]) -> None:
    """Check that ``values`` fit the messages of ``source``.

    Raises:
        RangeError: They do not.
    """
    half = 1 << max(source.message_bits - 1, 0)
    allowed = range(-half, half) if source.message_bits else range(2)
    _require_range(values, allowed, f"payload of {source.message_bits} bits", source.name)


@singledispatch
def _check_population(population: object) -> None:
    raise VerifyError(f"the simulator does not know a {type(population).__name__}")


@_check_population.register
def _(lif: Lif) -> None:
    _require_range(lif.threshold, range(1 << 18), "threshold", lif.name)
    _require_range(lif.decay_u, range(DECAY_UNITY + 1), "decay_u", lif.name)
    _require_range(lif.decay_v, range(DECAY_UNITY + 1), "decay_v", lif.name)
    check_bias(lif, np.asarray(lif.bias_mantissa))
    if lif.reset_interval is not None:
        _require_range(lif.reset_interval, range(1, 1 << 31), "reset_interval", lif.name)
        _require_range(lif.reset_offset, range(lif.reset_interval), "reset_offset", lif.name)


def check_bias(lif: Lif, mantissa: npt.NDArray[Any]) -> None:
    """Check that ``mantissa`` fits the bias register of ``lif`` and the bias 31 bits.

    Raises:
        RangeError: It does not.
    """
    _require_range(mantissa, range(-(1 << 15), 1 << 15), "bias mantissa", lif.name)
    _require_range(lif.bias_exponent, _EXPONENTS, "bias exponent", lif.name)
    bias = np.asarray(mantissa, np.int64) << max(lif.bias_exponent, 0)
    _require_range(bias, range(-(1 << 30), 1 << 30), "bias", lif.name)


@_check_population.register(Delta)
@_check_population.register(SigmaDelta)
def _(population: Delta | SigmaDelta) -> None:
    name = population.name
    for exponent in (population.spike_exponent, population.state_exponent):
        _require_range(exponent, range(16), "exponent", name)
    limit = _INT32_LIMIT >> (population.spike_exponent + population.state_exponent)
    _require_range(population.threshold, range(limit), "threshold", name)
    if isinstance(population, SigmaDelta):
        _require_range(population.bias, range(-limit, limit), "bias", name)
    _require_range(population.message_bits, range(1, 33), "message_bits", name)


@_check_population.register
def _(sigma: Sigma) -> None:
    _require_range(sigma.message_bits, range(1, 33), "message_bits", sigma.name)


@_check_population.register
def _(radix: Radix) -> None:
    name = radix.name
    _require_range(radix.start, range(_INT32_LIMIT), "start", name)
    _require_range(radix.places, range(_PLACES_MAX + 1), "places", name)
    _require_range(radix.interval, range(max(radix.places, 1), _INT32_LIMIT), "interval", name)
    _require_range(radix.shift, range(_SHIFT_MAX + 1), "shift", name)
    limit = (STATE_LIMIT - 1 >> max(radix.places - 1, 0)) + 1
    _require_range(radix.threshold, range(1, limit), "threshold", name)
    for what, value in (("bias", radix.bias), ("ceiling", radix.ceiling)):
        _require_range(value, range(-STATE_LIMIT, STATE_LIMIT), what, name)


@_check_population.register
def _(radix_max: RadixMax) -> None:
    _require_range(radix_max.start, range(_INT32_LIMIT), "start", radix_max.name)
    _require_range(radix_max.interval, range(1, _INT32_LIMIT), "interval", radix_max.name)


def _check_ends(circuit: Circuit, synapse: Synapse) -> None:
    targets = {population.name for population in circuit.populations}
    if synapse.source not in circuit.nodes:
        raise VerifyError(f"its source {synapse.source!r} does not exist", node=synapse.name)
    if synapse.target not in targets:
        raise VerifyError(f"its target {synapse.target!r} is no population", node=synapse.name)
    if not isinstance(synapse, Injection):
        return
    if not isinstance(circuit.nodes[synapse.source], Source):
        raise VerifyError(f"injects from {synapse.source!r}, no source", node=synapse.name)
    if synapse.register == "bias" and not isinstance(circuit.nodes[synapse.target], Lif):
        raise VerifyError(f"{synapse.target!r} has no bias register", node=synapse.name)


@singledispatch
def _check_synapse(synapse: Synapse, source: Shape, target: Shape) -> None:
    raise VerifyError(
        f"the simulator does not know a {type(synapse).__name__}", node=synapse.name
    )


@_check_synapse.register
def _(synapse: DenseSynapse, source: Shape, target: Shape) -> None:
    _check_matrix(synapse, synapse.weight, source, target)
    if synapse.delay is not None:
        _check_delay_shape(synapse)
        _require_range(synapse.delay, range(63), "delay", synapse.name)


def _check_delay_shape(synapse: DenseSynapse) -> None:
    """Check that delays are per input, per output or per connection."""
    out, inputs = synapse.weight.shape
    allowed = ((inputs,), (out, 1), (out, inputs))
    if synapse.delay is not None and synapse.delay.shape not in allowed:
        raise VerifyError(
            f"delay has shape {synapse.delay.shape}; "
            f"{', '.join(map(str, allowed))} are allowed",
            node=synapse.name,
        )


@_check_synapse.register
def _(synapse: SparseSynapse, source: Shape, target: Shape) -> None:
    _check_matrix(synapse, scipy.sparse.csr_matrix(synapse.weight), source, target)


def _check_matrix(
    synapse: DenseSynapse | SparseSynapse, weight: Any, source: Shape, target: Shape
) -> None:
    """Check shape, exponent and weights; Lava would clip or truncate what is refused here."""
    _require_shape(weight, (int(np.prod(target)), int(np.prod(source))), "weight", synapse.name)
    _require_range(synapse.weight_exponent, _EXPONENTS, "weight exponent", synapse.name)
    entries = weight if isinstance(weight, np.ndarray) else weight.data
    ends = int(entries.min(initial=0)), int(entries.max(initial=0))
    is_mixed = ends[0] < 0 < ends[1]
    _require_range(
        ends, range(-256, 255) if is_mixed else range(-255, 256), "weight", synapse.name
    )
    if is_mixed and np.any(entries & 1):
        raise RangeError(
            "has odd weights of both signs; weights of mixed sign are even",
            node=synapse.name,
            hint="double the weights and halve the weight exponent's scale",
        )


@_check_synapse.register
def _(synapse: ConvSynapse, source: Shape, target: Shape) -> None:
    name, weight = synapse.name, synapse.weight
    if weight.ndim != 4:
        raise VerifyError(f"weight has shape {weight.shape}; 4 axes are needed", node=name)
    if len(source) != 3:
        raise VerifyError(f"convolves {source}; (C, H, W) is allowed", node=name)
    _require_range(weight, range(-256, 256), "weight", name)
    _require_range(synapse.groups, range(1, _GEOMETRY_LIMIT + 1), "groups", name)
    _require_range(weight.shape[2:], range(1, _GEOMETRY_LIMIT + 1), "kernel size", name)
    _require_range(synapse.stride, range(1, _GEOMETRY_LIMIT + 1), "stride", name)
    _require_range(synapse.padding, range(_GEOMETRY_LIMIT + 1), "padding", name)
    _require_range(synapse.dilation, range(1, _GEOMETRY_LIMIT + 1), "dilation", name)
    (vertical, horizontal), groups = synapse.padding, synapse.groups
    size = output_size(
        (source[1], source[2]),
        (weight.shape[2], weight.shape[3]),
        synapse.stride,
        ((vertical, vertical), (horizontal, horizontal)),
        synapse.dilation,
    )
    if weight.shape[1] * groups != source[0] or weight.shape[0] % groups:
        raise VerifyError(
            f"weight {weight.shape} in {groups} groups does not take {source}", node=name
        )
    if (weight.shape[0], *size) != target:
        raise VerifyError(
            f"produces {(weight.shape[0], *size)}; its target has shape {target}", node=name
        )


@_check_synapse.register
def _(synapse: Injection, source: Shape, target: Shape) -> None:
    if source != target:
        raise VerifyError(f"injects {source} into {target}", node=synapse.name)


def _require_shape(array: Any, shape: Shape, what: str, node: str) -> None:
    if array.shape != shape:
        raise VerifyError(f"{what} has shape {array.shape}; {shape} is needed", node=node)


def _require_range(
    value: int | Iterable[int] | npt.NDArray[Any], allowed: range, what: str, node: str
) -> None:
    array = np.asarray(value)
    if not array.size:
        return
    low, high = int(array.min()), int(array.max())
    if low < allowed.start or high >= allowed.stop:
        found = low if low < allowed.start else high
        raise RangeError(
            f"{what} is {found}; {allowed.start} to {allowed.stop - 1} is allowed", node=node
        )
