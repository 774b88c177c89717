"""Layers of a netx file as synapses and populations, as the stock reader makes them.

Two kinds of layer make no neurons (``flatten``, and ``input`` without ``neuron``); every other
is a *block* of synapses and neurons, and block k of the stock network is population k here.

Source: ``lava.lib.dl.netx.hdf5`` and ``blocks.process`` 0.6.0.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.sparse

from targets.netx.clock import CLOCK, Clock
from targets.netx.fields import Fields
from targets.netx.neurons import NeuronOptions, read_neuron
from targets.netx.weights import (
    WEIGHT_BITS,
    LoadedWeight,
    UnloadableWeightError,
    load_together,
)
from toolchain.ir.convolution import output_size
from toolchain.ir.mapped import (
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
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

MAX_DELAY = 62
INPUT = "input"
DEFAULT_GAIN = 64


class Drive(enum.Enum):
    """How the samples enter a netx network."""

    SPIKES = "spikes"
    """As binary or graded spikes into the synapses of the first block."""
    BIAS = "bias"
    """As the bias mantissas of the first block's neurons."""
    CURRENT = "current"
    """As the input current of the first block's neurons, which encode its changes."""


@dataclass(eq=False)
class Chain:
    """The network as far as it has been read."""

    options: NeuronOptions
    input_shape: Shape | None
    message_bits: int
    clock: Clock | None = None
    is_flattened: bool = False
    sources: tuple[Source, ...] = ()
    drive: Drive = Drive.SPIKES
    gain: int = DEFAULT_GAIN
    offset: int = 0
    populations: list[Population] = field(default_factory=list)
    synapses: list[Synapse] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def read(self, layer: Fields) -> None:
        """Read one more layer."""
        kind = layer.text("type")
        readers: dict[str, Callable[[Chain, Fields], None]] = {
            "input": _read_input,
            "flatten": _read_flatten,
            "conv": _read_conv,
            "dense": _read_dense,
            "dense_rec": _read_dense,
        }
        if kind not in readers:
            index = int(layer.place.removeprefix("layer "))
            raise layer.error(
                "type",
                f"is {kind!r}, which the stock reader skips or stops at; it runs "
                + ", ".join(readers),
                f"read the layers before it: num_layers={index}" if index else None,
            )
        readers[kind](self, layer)

    def name_of(self, layer: Fields) -> str:
        """Return the name that snn-compile gave the population, else one by its number."""
        name = layer.text_attribute("population")
        taken = {INPUT, CLOCK, *(population.name for population in self.populations)}
        return layer.place.replace(" ", "") if name is None or name in taken else name

    def before(self, shape: Shape) -> str:
        """Return the name of what drives the next block; a source of ``shape`` for block 0."""
        if self.populations:
            return self.populations[-1].name
        self.sources = (Source(name=INPUT, shape=shape, message_bits=self.message_bits),)
        return INPUT

    def add(self, population: Population, *synapses: Synapse) -> None:
        """Append a block."""
        self.populations.append(population)
        self.synapses += synapses
        self.message_bits = (
            population.message_bits if isinstance(population, Delta | SigmaDelta | Sigma) else 0
        )


def _read_input(chain: Chain, layer: Fields) -> None:
    if chain.populations or layer.place != "layer 0":
        raise layer.error("type", "is 'input', which is allowed for layer 0 only")
    chain.input_shape = shape = layer.shape()
    if "neuron" not in layer:
        return
    name = chain.name_of(layer)
    population = read_neuron(layer, name, shape, 0, chain.options, chain.notes, is_input=True)
    gain, offset = (
        _one_number(layer, key) if key in layer else usual
        for key, usual in (("weight", DEFAULT_GAIN), ("bias", 0))
    )
    is_lif = isinstance(population, Lif)
    chain.drive = Drive.BIAS if is_lif else Drive.CURRENT
    chain.gain, chain.offset = gain, offset
    chain.sources = (Source(name=INPUT, shape=shape, message_bits=32),)
    injection = Injection(
        name=f"{INPUT}->{name}",
        source=INPUT,
        target=name,
        register="bias" if is_lif else "a",
    )
    chain.add(population, injection)


def _one_number(layer: Fields, key: str) -> int:
    value = layer.truncated(key)
    if value.size != 1:
        raise layer.error(key, f"has shape {value.shape}; one number is allowed")
    return int(value.flat[0])


def _read_flatten(chain: Chain, _: Fields) -> None:
    chain.is_flattened = True


def _read_conv(chain: Chain, layer: Fields) -> None:
    before = chain.populations[-1].shape if chain.populations else chain.input_shape
    if before is None or len(before) != 3:
        raise layer.error(
            "type",
            f"is 'conv', and what comes before it has shape {before}; (C, H, W) is allowed",
            None if chain.populations else "give input_shape",
        )
    shape = layer.shape()
    weight = layer.truncated("weight")
    if weight.ndim not in (4, 5) or weight.shape[4:] not in ((), (1,)):
        raise layer.error(
            "weight", f"has shape {weight.shape}; (out, in, height, width) is allowed"
        )
    if "delay" in layer:
        chain.notes.append(
            f"{layer.place}: delay of a conv is not heeded, as in the stock reader"
        )
    name = chain.name_of(layer)
    source = chain.before(before)
    synapse = ConvSynapse(
        name=f"{source}->{name}",
        source=source,
        target=name,
        weight=weight.reshape(weight.shape[:4]),
        stride=_geometry(layer, "stride", 1),
        padding=_geometry(layer, "padding", 0),
        dilation=_geometry(layer, "dilation", 1),
        groups=_groups(layer),
    )
    _check_conv(layer, synapse, before, shape)
    if "neuron" not in layer:
        raise layer.error("neuron", "is missing")
    block = len(chain.populations)
    chain.add(read_neuron(layer, name, shape, block, chain.options, chain.notes), synapse)


def _geometry(layer: Fields, key: str, least: int) -> tuple[int, int]:
    pair = layer.pair(key)
    if min(pair) < least or max(pair) > 127:
        raise layer.error(key, f"is {pair}; {least} to 127 is allowed")
    return pair


def _groups(layer: Fields) -> int:
    groups = layer.integers("groups")
    if groups.shape or not 1 <= groups <= 127:
        raise layer.error(
            "groups",
            f"is {groups.tolist()}; 1 to 127 is allowed",
            "split the layer: stock Lava computes 0 with 128 groups and stops above",
        )
    return int(groups)


def _check_conv(layer: Fields, synapse: ConvSynapse, before: Shape, shape: Shape) -> None:
    out, per_group, *kernel = synapse.weight.shape
    if max(kernel) > 127:
        raise layer.error("weight", f"has a kernel of {kernel}; 127 is allowed")
    if before[0] != per_group * synapse.groups or out % synapse.groups:
        raise layer.error(
            "weight",
            f"has shape {synapse.weight.shape} in {synapse.groups} groups, and the layer "
            f"before has {before[0]} channels",
        )
    vertical, horizontal = synapse.padding
    size = output_size(
        (before[1], before[2]),
        (kernel[0], kernel[1]),
        synapse.stride,
        ((vertical, vertical), (horizontal, horizontal)),
        synapse.dilation,
    )
    if min(size) < 1 or shape != (out, *size):
        raise layer.error("shape", f"is {shape}, and the convolution gives {(out, *size)}")


def _read_dense(chain: Chain, layer: Fields) -> None:
    neurons = int(np.prod(layer.shape()))
    name, block = chain.name_of(layer), len(chain.populations)
    population = read_neuron(layer, name, (neurons,), block, chain.options, chain.notes)
    weight = _matrix(layer, "weight", neurons)
    source = chain.before(_shape_before_dense(chain, layer, weight.shape[1]))
    delay = _delay(layer, weight.shape, chain.notes)
    if layer.text("type") == "dense":
        (loaded,) = _loaded(chain, layer, weight=weight)
        chain.add(population, *_ahead(chain, layer, _dense(source, name, loaded, delay)))
        return
    weight_rec = _matrix(layer, "weight_rec", neurons)
    if weight_rec.shape[1] != neurons or (
        delay is not None and weight.shape != weight_rec.shape
    ):
        raise layer.error(
            "weight_rec",
            f"has shape {weight_rec.shape}; {(neurons, neurons)} is allowed, and with delays "
            "only where weight has that shape too",
        )
    loaded, loaded_rec = _loaded(chain, layer, weight=weight, weight_rec=weight_rec)
    if delay is not None and loaded.exponent:
        loaded, loaded_rec = (replace(each, exponent=0) for each in (loaded, loaded_rec))
        chain.notes.append(
            f"{layer.place}: a dense_rec with delay loses its exponent, as in the stock reader"
        )
    ahead = _ahead(chain, layer, _dense(source, name, loaded, delay))
    chain.add(population, *ahead, _loop(name, loaded_rec, delay))


def _ahead(chain: Chain, layer: Fields, synapse: DenseSynapse) -> tuple[DenseSynapse, ...]:
    """Return the synapse, or for the first block one from the sample and one from the clock."""
    clock = chain.clock
    if clock is None or synapse.source != INPUT:
        return (synapse,)
    columns = synapse.weight.shape[1]
    if clock.sample_size + clock.channels != columns:
        raise layer.error(
            "weight",
            f"has {columns} columns, for a sample of {clock.sample_size} values and "
            f"{clock.channels} clock channels",
        )
    chain.sources = clock.sources(*chain.sources)
    return clock.synapses(synapse)


def _matrix(layer: Fields, field_name: str, neurons: int) -> IntArray:
    """Return a matrix with a row per neuron; a vector is cut into rows."""
    weight = layer.truncated(field_name)
    if weight.ndim == 1 and weight.size % neurons == 0:
        weight = weight.reshape(neurons, -1)
    if weight.ndim != 2 or weight.shape[0] != neurons:
        raise layer.error(
            field_name, f"has shape {weight.shape}, and the layer has {neurons} neurons"
        )
    return weight


def _shape_before_dense(chain: Chain, layer: Fields, inputs: int) -> Shape:
    """Return the shape of what drives a dense layer with that many inputs."""
    is_flattened, chain.is_flattened = chain.is_flattened, False
    if not chain.populations:
        sample = chain.input_shape
        is_sample = is_flattened and sample is not None and np.prod(sample) == inputs
        return sample if is_sample and sample is not None else (inputs,)
    before = chain.populations[-1].shape
    if len(before) != (3 if is_flattened else 1):
        raise layer.error(
            "type",
            f"is dense {'after' if is_flattened else 'without'} 'flatten', and the layer "
            f"before it has shape {before}; flatten is for (C, H, W) and only for it",
        )
    if np.prod(before) != inputs:
        raise layer.error(
            "weight", f"has {inputs} columns, and the layer before it {np.prod(before)} neurons"
        )
    return before


def _delay(layer: Fields, shape: Shape, notes: list[str]) -> IntArray | None:
    """Return delays that broadcast to the matrix, `None` where all are 0.

    One number is for all; a vector is per row, else per column; square layers take rows.
    """
    if "delay" not in layer:
        return None
    delay = layer.numbers("delay")
    if delay.max() > MAX_DELAY:
        notes.append(
            f"{layer.place}: delays are clamped to {MAX_DELAY}, as in the stock reader"
        )
        delay = np.clip(delay, 0, MAX_DELAY)
    delay = delay.astype(np.int64)
    if delay.min() < 0:
        raise layer.error("delay", f"is down to {delay.min()}; 0 to {MAX_DELAY} is allowed")
    if delay.shape == (shape[0],):
        delay = delay.reshape(-1, 1)
    elif delay.ndim == 0:
        delay = np.full(shape[1], delay)
    if delay.shape not in ((shape[0], 1), (shape[1],), shape):
        raise layer.error("delay", f"has shape {delay.shape}, and weight has {shape}")
    return delay if delay.any() else None


def _loaded(chain: Chain, layer: Fields, **written: IntArray) -> tuple[LoadedWeight, ...]:
    """Return the matrices of a layer as the stock reader loads them, with a note on changes."""
    try:
        loaded = load_together(*written.values())
    except UnloadableWeightError as error:
        raise layer.error(
            next(iter(written)),
            f"cannot be loaded by the stock reader: {error}",
            "drop the layer, or write a 2 where it does no harm",
        ) from error
    for (key, weight), held in zip(written.items(), loaded, strict=True):
        if held.weight_bits > WEIGHT_BITS and held.mantissa.any():
            raise layer.error(
                key,
                f"needs {held.weight_bits} bits, {WEIGHT_BITS} are allowed: it has odd numbers "
                "of both signs and one beyond -128 to 127",
                "make the weights even",
            )
        change = np.abs(held.mantissa * 2.0**held.exponent - weight)
        if change.any():
            chain.notes.append(
                f"{layer.place}: the stock reader changes {np.count_nonzero(change)} of "
                f"{change.size} numbers of {key}, by up to {change.max():g}"
            )
    return loaded


def _dense(
    source: str, target: str, loaded: LoadedWeight, delay: IntArray | None
) -> DenseSynapse:
    return DenseSynapse(
        name=f"{source}->{target}",
        source=source,
        target=target,
        weight=loaded.mantissa,
        weight_exponent=loaded.exponent,
        delay=delay,
    )


def _loop(
    population: str, loaded: LoadedWeight, delay: IntArray | None
) -> DenseSynapse | SparseSynapse:
    """Return the synapse from a population to itself; a diagonal one becomes sparse."""
    dense, weight = _dense(population, population, loaded, delay), loaded.mantissa
    if delay is not None or np.count_nonzero(weight - np.diag(np.diag(weight))):
        return dense
    return SparseSynapse(
        name=dense.name,
        source=population,
        target=population,
        weight=scipy.sparse.csr_matrix(weight),
        weight_exponent=loaded.exponent,
    )
