"""What stock Lava cannot run, or would run as something else without a word.

Source: ``lava-nc`` 0.10 (``proc.lif``, ``proc.dense``, ``proc.sparse``, ``proc.conv``); its
convolution keeps sizes in 8-bit registers, its bias in 16 bits, and its populations in as many
separate runs as the network has parts.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from toolchain.errors import EmitError
from toolchain.ir.convolution import output_size
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Injection,
    IntArray,
    Lif,
    Population,
    Shape,
    Source,
    SparseSynapse,
    Synapse,
)
from toolchain.ir.radix import Radix, RadixMax
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

_THRESHOLD_MAX = 2**17 - 1
_BIAS_MANTISSA_MAX = 2**15 - 1
_BIAS_MAX = 2**30
_DECAY_MAX = 4096
_DELAY_MAX = 62
_WEIGHT_EXPONENT_MAX = 23
_GEOMETRY_MAX = 127
_MESSAGE_BITS_MAX = 24


def refuse_what_lava_cannot_run(circuit: Circuit) -> None:
    """Check every source, population and synapse of ``circuit``.

    Raises:
        EmitError: One of them cannot be said to stock Lava; the message names it.
    """
    for origin in circuit.sources:
        _check_source(origin, circuit)
    for population in circuit.populations:
        _check_shape(population.shape, population.name)
        _check_population(population)
    for synapse in circuit.synapses:
        for end in (synapse.source, synapse.target):
            if end not in circuit.nodes:
                raise EmitError(f"there is no population {end!r}", node=synapse.name)
        source, target = circuit.nodes[synapse.source], circuit.nodes[synapse.target]
        if isinstance(target, Source):
            problem = f"{target.name!r} is a source and takes no input"
            raise EmitError(problem, node=synapse.name)
        _check_synapse(synapse, source.shape, target.shape)
    _check_connected(circuit)
    _check_readout(circuit)


def require(condition: bool, problem: str, node: str, hint: str | None = None) -> None:
    """Raise an `EmitError` unless ``condition`` holds."""
    if not condition:
        raise EmitError(problem, node=node, hint=hint)


def payload_range(message_bits: int) -> tuple[int, int]:
    """Return the smallest and the largest value that a source of that width may emit."""
    if message_bits == 0:
        return 0, 1
    return -(2 ** (message_bits - 1)), 2 ** (message_bits - 1) - 1


def _check_source(source: Source, circuit: Circuit) -> None:
    name, bits = source.name, source.message_bits
    require(
        0 <= bits <= _MESSAGE_BITS_MAX,
        f"messages have {bits} bits; Lava's have 0 to {_MESSAGE_BITS_MAX}",
        name,
    )
    _check_shape(source.shape, name)
    if name in circuit.inputs:
        require(not source.events, "it carries the samples and has events of its own", name)
        return
    require(bool(source.events), "it neither carries the samples nor has events", name)
    phases = [step % circuit.period for step, _ in source.events]
    require(
        len(set(phases)) == len(phases),
        f"events of two samples meet: their steps are equal modulo the period {circuit.period}",
        name,
    )
    low, high = payload_range(bits)
    for step, values in source.events:
        require(
            0 <= step < circuit.latency,
            f"it has an event in step {step}; a sample has steps 0 to {circuit.latency - 1}",
            name,
        )
        require(
            values.shape == source.shape,
            f"an event has shape {values.shape}; the source has {source.shape}",
            name,
        )
        require(
            bool(low <= values.min() and values.max() <= high),
            f"it emits {values.min()} to {values.max()}; {bits} bits hold {low} to {high}",
            name,
        )


@singledispatch
def _check_population(population: Population) -> None:
    raise EmitError(f"Lava has no {type(population).__name__}", node=population.name)


@_check_population.register
def _(lif: Lif) -> None:
    name = lif.name
    low, high = int(np.min(lif.threshold)), int(np.max(lif.threshold))
    require(
        low >= 0 and high <= _THRESHOLD_MAX,
        f"threshold is {low} to {high}; Lava's is 0 to {_THRESHOLD_MAX}",
        name,
        "quantize with a coarser scale",
    )
    for register, decay in (("u", lif.decay_u), ("v", lif.decay_v)):
        least, most = int(np.min(decay)), int(np.max(decay))
        require(
            least >= 0 and most <= _DECAY_MAX,
            f"{register} loses {least} to {most} 4096ths a step; Lava's decay is 0 to "
            f"{_DECAY_MAX}",
            name,
        )
    mantissa = int(np.abs(lif.bias_mantissa).max())
    require(
        mantissa <= _BIAS_MANTISSA_MAX,
        f"bias mantissa is {mantissa}; Lava's is at most {_BIAS_MANTISSA_MAX}",
        name,
        "raise the bias exponent, or spread the bias over an always-on axon",
    )
    require(
        lif.bias_exponent <= 30 and mantissa << max(lif.bias_exponent, 0) <= _BIAS_MAX,
        f"bias {mantissa} << {lif.bias_exponent} exceeds {_BIAS_MAX}",
        name,
    )
    if lif.reset_interval is not None:
        require(
            0 <= lif.reset_offset < lif.reset_interval,
            f"reset offset is {lif.reset_offset}; with an interval of {lif.reset_interval} it "
            "must be at least 0 and less",
            name,
        )


@_check_population.register(Delta)
@_check_population.register(SigmaDelta)
def _(population: Delta | SigmaDelta) -> None:
    require(
        np.ndim(population.threshold) == 0,
        "neurons have different thresholds; Lava's sigma-delta populations have one",
        population.name,
    )


@_check_population.register(Sigma)
@_check_population.register(Radix)
@_check_population.register(RadixMax)
def _(population: Sigma | Radix | RadixMax) -> None:
    """Nothing can go wrong with it."""


def _check_shape(shape: Shape, name: str) -> None:
    require(
        len(shape) in (1, 3) and min(shape) > 0,
        f"shape is {shape}; Lava's networks have (N,) and (C, H, W)",
        name,
    )


@singledispatch
def _check_synapse(synapse: Synapse, source: Shape, target: Shape) -> None:
    raise EmitError(f"Lava has no {type(synapse).__name__}", node=synapse.name)


@_check_synapse.register(DenseSynapse)
@_check_synapse.register(SparseSynapse)
def _(synapse: DenseSynapse | SparseSynapse, source: Shape, target: Shape) -> None:
    name, weight = synapse.name, synapse.weight
    expected = (int(np.prod(target)), int(np.prod(source)))
    require(
        weight.shape == expected,
        f"weights have shape {weight.shape}; {expected} would fit the populations",
        name,
    )
    require(
        abs(synapse.weight_exponent) <= _WEIGHT_EXPONENT_MAX,
        f"weight exponent is {synapse.weight_exponent}; it can be at most "
        f"{_WEIGHT_EXPONENT_MAX} either way",
        name,
    )
    values = weight if isinstance(weight, np.ndarray) else weight.data
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    is_even = not (values % 2).any()
    require(
        (low >= 0 and high <= 255)
        or (high <= 0 and low >= -255)
        or (low >= -256 and high <= 254 and is_even),
        f"weight mantissas are {low} to {high}{'' if is_even else ', some of them odd'}; Lava "
        "holds 0 to 255, -255 to 0, or even ones of both signs within -256 to 254",
        name,
    )
    if isinstance(synapse, DenseSynapse) and synapse.delay is not None:
        _check_delay(synapse, synapse.delay)


def _check_delay(synapse: DenseSynapse, delay: IntArray) -> None:
    outputs, inputs = synapse.weight.shape
    require(
        delay.shape in ((inputs,), (outputs, inputs), (outputs, 1)),
        f"delays have shape {delay.shape}; it must be ({inputs},), ({outputs}, {inputs}) or "
        f"({outputs}, 1)",
        synapse.name,
    )
    require(
        bool(delay.min() >= 0 and delay.max() <= _DELAY_MAX),
        f"delays are {delay.min()} to {delay.max()} steps; Loihi has 0 to {_DELAY_MAX}",
        synapse.name,
    )


@_check_synapse.register
def _(synapse: ConvSynapse, source: Shape, target: Shape) -> None:
    name, weight = synapse.name, synapse.weight
    require(
        len(source) == 3 and len(target) == 3,
        f"it joins shapes {source} and {target}; a convolution needs (C, H, W) on both sides",
        name,
    )
    require(
        1 <= synapse.groups <= _GEOMETRY_MAX,
        f"it has {synapse.groups} groups; Lava's convolution computes zeros or fails beyond "
        f"{_GEOMETRY_MAX}",
        name,
        "split the layer by channels",
    )
    kernel, dilation = (weight.shape[2], weight.shape[3]), synapse.dilation
    reach = max(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    for what, size in (
        ("kernel with dilation reaches", reach),
        ("stride is", max(synapse.stride)),
        ("padding on both sides is", 2 * max(synapse.padding)),
    ):
        require(
            size <= _GEOMETRY_MAX,
            f"{what} {size}; Lava's registers hold {_GEOMETRY_MAX}",
            name,
        )
    require(
        bool(weight.min() >= -128 and weight.max() <= 127),
        f"weights are {weight.min()} to {weight.max()}; 8 bits hold -128 to 127",
        name,
    )
    (top, left), (_, height, width) = synapse.padding, source
    padding = ((top, top), (left, left))
    out_size = output_size((height, width), kernel, synapse.stride, padding, dilation)
    channels, shape = weight.shape[1] * synapse.groups, (weight.shape[0], *out_size)
    require(
        (source[0], target) == (channels, shape),
        f"it joins shapes {source} and {target}; its weights take {channels} channels and "
        f"give {shape}",
        name,
    )


@_check_synapse.register
def _(synapse: Injection, source: Shape, target: Shape) -> None:
    require(
        synapse.register == "a",
        "the host writes the bias in every step; the Lava script writes input currents only",
        synapse.name,
    )
    require(source == target, f"it joins shapes {source} and {target}", synapse.name)


def _check_connected(circuit: Circuit) -> None:
    """Refuse populations that no path joins to the input: Lava would leave them out."""
    reached, frontier = {circuit.inputs[0]}, [circuit.inputs[0]]
    while frontier:
        name = frontier.pop()
        for synapse in circuit.synapses:
            ends = {synapse.source, synapse.target}
            if name in ends:
                frontier.extend(ends - reached)
                reached |= ends
    for name in circuit.nodes:
        require(
            name in reached,
            "no synapses join it to the input; Lava runs connected networks only",
            name,
            "remove it",
        )


def _check_readout(circuit: Circuit) -> None:
    for readout in circuit.readouts:
        require(
            isinstance(circuit.nodes.get(readout.population), Lif | Radix),
            "outputs are read from it, and it has no membrane potential",
            readout.population,
        )
        require(
            0 <= readout.step < circuit.latency,
            f"outputs are read after step {readout.step}; a sample has steps 0 to "
            f"{circuit.latency - 1}",
            readout.population,
        )
