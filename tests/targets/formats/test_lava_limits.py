"""What stock Lava cannot run, or would run as something else, is refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

from targets.formats.lava_process import emit_lava
from toolchain.errors import EmitError
from toolchain.ir.mapped import (
    ConvSynapse,
    DenseSynapse,
    Injection,
    Lif,
    Readout,
    Source,
    SparseSynapse,
    Synapse,
)
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

GATE = Source(name="gate", shape=(1,), message_bits=2, events=((0, np.array([1])),))
DENSE = DenseSynapse(
    name="pool-logits", source="pool", target="logits", weight=np.zeros((5, 12), int)
)
CONV = ConvSynapse(
    name="image-conv",
    source="image",
    target="conv",
    weight=np.zeros((3, 2, 3, 3), int),
    padding=(1, 1),
)
LOGITS = Lif(name="logits", shape=(5,), threshold=1)
BAD_SOURCES = [
    (replace(GATE, message_bits=25), "messages have 25 bits; Lava's have 0 to 24"),
    (replace(GATE, events=()), "it neither carries the samples nor has events"),
    (
        replace(GATE, events=((14, np.array([1])),)),
        "it has an event in step 14; a sample has steps 0 to 13",
    ),
    (
        replace(GATE, events=((0, np.array([2])),)),
        "it emits 2 to 2; 2 bits hold -2 to 1",
    ),
    (
        replace(GATE, message_bits=0, events=((0, np.array([-1])),)),
        "it emits -1 to -1; 0 bits hold 0 to 1",
    ),
    (
        replace(GATE, events=((0, np.array([1, 1])),)),
        "an event has shape (2,); the source has (1,)",
    ),
    (replace(GATE, shape=(1, 1)), "shape is (1, 1); Lava's networks have (N,) and (C, H, W)"),
]
BAD_POPULATIONS = [
    (replace(LOGITS, threshold=2**17), "threshold is 131072 to 131072; Lava's is 0 to 131071"),
    (
        replace(LOGITS, threshold=np.array([-1, 0, 0, 0, 9])),
        "threshold is -1 to 9; Lava's is 0 to 131071",
    ),
    (
        replace(LOGITS, decay_u=4097),
        "u loses 4097 to 4097 4096ths a step; Lava's decay is 0 to 4096",
    ),
    (
        replace(LOGITS, decay_v=np.array([-1, 0, 0, 7, 0])),
        "v loses -1 to 7 4096ths a step; Lava's decay is 0 to 4096",
    ),
    (replace(LOGITS, bias_mantissa=-40000), "bias mantissa is 40000; Lava's is at most 32767"),
    (
        replace(LOGITS, bias_mantissa=2, bias_exponent=30),
        "bias 2 << 30 exceeds 1073741824",
    ),
    (
        replace(LOGITS, reset_interval=4, reset_offset=4),
        "reset offset is 4; with an interval of 4 it must be at least 0 and less",
    ),
    (
        Delta(name="logits", shape=(5,), threshold=np.arange(5)),
        "neurons have different thresholds; Lava's sigma-delta populations have one",
    ),
    (
        SigmaDelta(name="logits", shape=(5,), threshold=np.arange(5)),
        "neurons have different thresholds; Lava's sigma-delta populations have one",
    ),
    (
        Sigma(name="logits", shape=(5,)),
        "outputs are read from it, and it has no membrane potential",
    ),
]
BAD_SYNAPSES = [
    (replace(DENSE, source="absent"), "there is no population 'absent'"),
    (replace(DENSE, target="image"), "'image' is a source and takes no input"),
    (
        replace(DENSE, weight=np.zeros((12, 5), int)),
        "weights have shape (12, 5); (5, 12) would fit the populations",
    ),
    (
        replace(DENSE, weight_exponent=-24),
        "weight exponent is -24; it can be at most 23 either way",
    ),
    (
        replace(DENSE, weight=np.array([[-1, 1] * 6] * 5)),
        "weight mantissas are -1 to 1, some of them odd; Lava holds 0 to 255, -255 to 0, or "
        "even ones of both signs within -256 to 254",
    ),
    (
        replace(DENSE, weight=np.full((5, 12), 256)),
        "weight mantissas are 0 to 256; Lava holds 0 to 255, -255 to 0, or even ones of both "
        "signs within -256 to 254",
    ),
    (
        SparseSynapse(
            name="pool-logits",
            source="pool",
            target="logits",
            weight=scipy.sparse.csr_matrix(np.full((5, 12), -257)),
        ),
        "weight mantissas are -257 to 0, some of them odd; Lava holds 0 to 255, -255 to 0, or "
        "even ones of both signs within -256 to 254",
    ),
    (
        replace(DENSE, delay=np.zeros(5, int)),
        "delays have shape (5,); it must be (12,), (5, 12) or (5, 1)",
    ),
    (
        replace(DENSE, delay=np.full(12, 63)),
        "delays are 63 to 63 steps; Loihi has 0 to 62",
    ),
    (
        replace(CONV, target="logits"),
        "it joins shapes (2, 5, 4) and (5,); a convolution needs (C, H, W) on both sides",
    ),
    (
        replace(CONV, groups=128),
        "it has 128 groups; Lava's convolution computes zeros or fails beyond 127",
    ),
    (
        replace(CONV, dilation=(1, 64)),
        "kernel with dilation reaches 129; Lava's registers hold 127",
    ),
    (replace(CONV, stride=(128, 1)), "stride is 128; Lava's registers hold 127"),
    (replace(CONV, padding=(0, 64)), "padding on both sides is 128; Lava's registers hold 127"),
    (
        replace(CONV, weight=CONV.weight + 128),
        "weights are 128 to 128; 8 bits hold -128 to 127",
    ),
    (
        replace(CONV, padding=(0, 1)),
        "it joins shapes (2, 5, 4) and (3, 5, 4); its weights take 2 channels and give "
        "(3, 3, 4)",
    ),
    (
        Injection(name="host", source="image", target="conv", register="bias"),
        "the host writes the bias in every step; the Lava script writes input currents only",
    ),
    (
        Injection(name="host", source="image", target="conv", register="a"),
        "it joins shapes (2, 5, 4) and (3, 5, 4)",
    ),
    (Synapse(name="other", source="pool", target="logits"), "Lava has no Synapse"),
]


def put(parts, part):
    """Return ``parts`` with ``part`` in place of the one of its name, or after them."""
    return (*(other for other in parts if other.name != part.name), part)


def refusal(circuit, folder):
    with pytest.raises(EmitError) as error:
        emit_lava(circuit, folder)
    assert list(folder.iterdir()) == []
    return error.value.node, error.value.problem


@pytest.mark.parametrize(("source", "problem"), BAD_SOURCES)
def test_a_source_lava_cannot_play_is_refused(integrate_then_fire, tmp_path, source, problem):
    circuit = integrate_then_fire.circuit

    found = refusal(replace(circuit, sources=put(circuit.sources, source)), tmp_path)

    assert found == ("gate", problem)


@pytest.mark.parametrize(("population", "problem"), BAD_POPULATIONS)
def test_a_population_lava_has_no_registers_for_is_refused(
    integrate_then_fire, tmp_path, population, problem
):
    circuit = integrate_then_fire.circuit

    found = refusal(
        replace(circuit, populations=put(circuit.populations, population)), tmp_path
    )

    assert found == ("logits", problem)


@pytest.mark.parametrize(("synapse", "problem"), BAD_SYNAPSES)
def test_a_synapse_lava_would_change_is_refused(
    integrate_then_fire, tmp_path, synapse, problem
):
    circuit = integrate_then_fire.circuit

    found = refusal(replace(circuit, synapses=put(circuit.synapses, synapse)), tmp_path)

    assert found == (synapse.name, problem)


def test_the_input_source_has_no_events_of_its_own(integrate_then_fire, tmp_path):
    circuit = replace(integrate_then_fire.circuit, inputs=("gate",))

    assert refusal(circuit, tmp_path) == (
        "image",
        "it neither carries the samples nor has events",
    )


def test_events_of_two_samples_may_not_meet(integrate_then_fire, tmp_path):
    circuit = replace(integrate_then_fire.circuit, period=5)

    assert refusal(circuit, tmp_path) == (
        "gate",
        "events of two samples meet: their steps are equal modulo the period 5",
    )


def test_a_population_without_a_path_to_the_input_is_refused(integrate_then_fire, tmp_path):
    circuit = integrate_then_fire.circuit
    island = replace(LOGITS, name="island")

    found = refusal(replace(circuit, populations=put(circuit.populations, island)), tmp_path)

    assert found == (
        "island",
        "no synapses join it to the input; Lava runs connected networks only",
    )


def test_outputs_are_read_within_the_sample(integrate_then_fire, tmp_path):
    circuit = replace(integrate_then_fire.circuit, readouts=(Readout("logits", 14),))

    assert refusal(circuit, tmp_path) == (
        "logits",
        "outputs are read after step 14; a sample has steps 0 to 13",
    )


def test_the_largest_values_lava_holds_are_accepted(integrate_then_fire, tmp_path):
    circuit = integrate_then_fire.circuit
    logits = replace(
        LOGITS, threshold=131071, bias_mantissa=np.array([-32767, 32767, 0, 0, 0]), decay_u=4096
    )
    dense = replace(DENSE, weight=np.array([[-256, 254] * 6] * 5), delay=np.full(12, 62))

    written = emit_lava(
        replace(
            circuit,
            populations=put(circuit.populations, logits),
            synapses=put(circuit.synapses, dense),
        ),
        tmp_path,
    )

    assert [path.name for path in written] == ["run.py", "circuit.npz"]
