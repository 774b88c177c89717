"""A circuit does on stock Lava what its definition says, and what Lava cannot do is refused."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from targets.formats import lava_process
from targets.formats.lava_process import emit_lava, run_on_lava
from targets.lava_compat import LavaError
from toolchain.errors import InputDataError, MissingDependencyError
from toolchain.ir.convolution import convolve
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Injection,
    Lif,
    Readout,
    Source,
    SparseSynapse,
)
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

STEPS = 12


@pytest.fixture(scope="module")
def trace(integrate_then_fire):
    case = integrate_then_fire
    return run_on_lava(
        case.circuit, case.inputs, ["conv", "pool"], record_state=["logits"], timeout_s=60
    )


@pytest.mark.lava
def test_integrate_then_fire_gives_the_reference_counts(trace, integrate_then_fire):
    case = integrate_then_fire

    np.testing.assert_array_equal(trace.spikes["conv"].sum(1), case.counts)
    assert case.inputs.min() < 0
    assert set(np.unique(case.counts)) == {0, 1, 2, 3, 4}


@pytest.mark.lava
def test_spikes_lie_in_the_window_one_after_the_other(trace, integrate_then_fire):
    window = integrate_then_fire.circuit.windows["conv"]
    steps = np.arange(integrate_then_fire.circuit.latency)[:, None, None, None]

    first, last = window.start, window.start + integrate_then_fire.counts[:, None]
    np.testing.assert_array_equal(trace.spikes["conv"], (steps >= first) & (steps < last))


@pytest.mark.lava
def test_a_pool_of_memoryless_neurons_gives_the_largest_count(trace, integrate_then_fire):
    np.testing.assert_array_equal(trace.spikes["pool"].sum(1), integrate_then_fire.pooled)


@pytest.mark.lava
def test_the_readout_of_every_sample_is_the_weighted_sum(trace, integrate_then_fire):
    circuit = integrate_then_fire.circuit

    np.testing.assert_array_equal(trace.outputs, integrate_then_fire.outputs)
    np.testing.assert_array_equal(
        trace.v["logits"][circuit.readout.step :: circuit.period], integrate_then_fire.outputs
    )


@pytest.mark.lava
def test_every_register_equals_the_definition_in_every_step():
    random = np.random.default_rng(1)
    inputs = random.integers(-128, 128, (2, 3))
    weight = 2 * random.integers(-128, 128, (4, 3))
    loop = 2 * random.integers(-60, 60, (4, 4))
    lif = Lif(
        name="lif",
        shape=(4,),
        threshold=np.array([50, 100, 200, 400]),
        decay_u=np.array([700, 0, 4096, 5]),
        decay_v=300,
        bias_mantissa=np.array([-40, 900, 1500, 3000]),
        bias_exponent=4,
        reset_interval=5,
        reset_offset=3,
    )
    delay = random.integers(0, 8, (4, 4))
    synapses = (
        DenseSynapse(name="in", source="x", target="lif", weight=weight, weight_exponent=-3),
        DenseSynapse(name="loop", source="lif", target="lif", weight=loop, delay=delay),
    )
    circuit = Circuit(
        name="registers",
        sources=(Source(name="x", shape=(3,), message_bits=8),),
        populations=(lif,),
        synapses=synapses,
        inputs=("x",),
        period=STEPS,
        latency=STEPS,
    )

    trace = run_on_lava(circuit, inputs, ["lif"], record_state=["lif"], timeout_s=60)

    u, v = np.zeros(4, int), np.zeros(4, int)
    spikes = np.zeros((2 * STEPS, 4), int)
    for t in range(2 * STEPS):
        if t % 5 == 3:
            u, v = 0 * u, 0 * v
        sample = inputs[(t - 1) // STEPS] if t % STEPS == 1 else np.zeros(3, int)
        late = np.array(
            [
                [spikes[t - 1 - delay[i, j], j] if t > delay[i, j] else 0 for j in range(4)]
                for i in range(4)
            ]
        )
        a = (weight @ sample >> 3) + (loop * late).sum(1)
        u = np.sign(u) * (np.abs(u) * (4096 - lif.decay_u) >> 12) + (a << 6)
        v = np.sign(v) * (np.abs(v) * (4096 - 300) >> 12) + u + (lif.bias_mantissa << 4)
        spikes[t] = v > lif.threshold << 6
        v = np.where(spikes[t], 0, v)
        np.testing.assert_array_equal(trace.u["lif"][t], u)
        np.testing.assert_array_equal(trace.v["lif"][t], v)
    np.testing.assert_array_equal(trace.spikes["lif"], spikes.reshape(2, STEPS, 4))
    assert spikes.any(0).all()


@pytest.mark.lava
def test_every_kind_of_weight_arrives_as_it_is():
    random = np.random.default_rng(2)
    image = random.integers(-8, 8, (1, 4, 7, 5))
    x = image.reshape(-1)
    one_sign = random.integers(0, 256, (6, 140))
    mixed = 2 * random.integers(-128, 128, (6, 140))
    negative = np.where(random.random((6, 140)) < 0.1, -256, 0)
    few = scipy.sparse.csr_matrix(np.where(random.random((6, 140)) < 0.1, mixed, 0))
    matrices = {
        "excitatory": (one_sign, 2),
        "inhibitory": (-one_sign, 0),
        "mixed": (mixed, -1),
        "largest": (negative, 0),
        "zero": (np.zeros((6, 140), int), 0),
    }
    synapses = [
        DenseSynapse(name=name, source="x", target=f"to {name}", weight=w, weight_exponent=e)
        for name, (w, e) in matrices.items()
    ]
    synapses += [
        SparseSynapse(name="few", source="x", target="to few", weight=few, weight_exponent=3),
        SparseSynapse(
            name="none",
            source="x",
            target="to none",
            weight=scipy.sparse.csr_matrix((6, 140), dtype=int),
        ),
    ]
    kernel = random.integers(-128, 128, (6, 2, 3, 2))
    geometry = {"stride": (2, 1), "padding": (2, 1), "dilation": (1, 2), "groups": 2}
    synapses += [
        ConvSynapse(name="conv", source="x", target="to conv", weight=kernel, **geometry),
        ConvSynapse(name="null", source="x", target="to null", weight=0 * kernel, **geometry),
    ]
    sums = convolve(image, kernel, (2, 1), ((2, 2), (1, 1)), (1, 2), 2)[0]
    want = {
        "excitatory": one_sign @ x << 2,
        "inhibitory": -one_sign @ x,
        "mixed": mixed @ x >> 1,
        "largest": negative @ x,
        "zero": np.zeros(6),
        "few": few @ x << 3,
        "none": np.zeros(6),
        "conv": sums,
        "null": 0 * sums,
    }
    circuit = Circuit(
        name="weights",
        sources=(Source(name="x", shape=(4, 7, 5), message_bits=4),),
        populations=tuple(
            Lif(name=f"to {name}", shape=np.shape(sums), threshold=131071)
            for name, sums in want.items()
        ),
        synapses=tuple(synapses),
        inputs=("x",),
        period=2,
        latency=2,
    )

    trace = run_on_lava(
        circuit, image, record_state=[f"to {name}" for name in want], timeout_s=60
    )

    for name, sums in want.items():
        np.testing.assert_array_equal(trace.u[f"to {name}"][1], sums * 64, err_msg=name)


@pytest.mark.lava
def test_sigma_delta_neurons_send_changes_through_a_host_injection():
    values = np.array([[5, -3, 100]])
    circuit = Circuit(
        name="sigma-delta",
        sources=(
            Source(name="x", shape=(3,), message_bits=9),
            Source(name="more", shape=(3,), message_bits=9, events=((2, np.array([0, 9, 1])),)),
        ),
        populations=(
            Delta(name="delta", shape=(3,), threshold=2, spike_exponent=3),
            SigmaDelta(
                name="hidden",
                shape=(2,),
                threshold=1,
                bias=np.array([7, -1000]),
                spike_exponent=3,
            ),
            Sigma(name="out", shape=(1,)),
        ),
        synapses=(
            Injection(name="host", source="x", target="delta", register="a"),
            Injection(name="again", source="more", target="delta", register="a"),
            DenseSynapse(
                name="w",
                source="delta",
                target="hidden",
                weight=np.array([[1, 2, 1], [255, 2, 0]]),
                weight_exponent=6,
            ),
            DenseSynapse(name="sum", source="hidden", target="out", weight=np.array([[1, 1]])),
        ),
        inputs=("x",),
        period=5,
        latency=5,
    )

    trace = run_on_lava(circuit, values, ["delta", "hidden", "out"], timeout_s=60)

    x = np.array([values[0], [0, 0, 0], [0, 9, 0], [0, 0, 0], [0, 0, 0]]) * 8
    changes = np.diff(x, axis=0, prepend=0)
    np.testing.assert_array_equal(trace.spikes["delta"][0, 0], changes[0])
    np.testing.assert_array_equal(trace.spikes["delta"][0, 1], changes[1])
    np.testing.assert_array_equal(trace.spikes["delta"][0, 2], changes[2])
    np.testing.assert_array_equal(
        trace.spikes["out"][0, 1:, 0], trace.spikes["hidden"][0].sum(1).cumsum()[:-1]
    )
    assert trace.spikes["hidden"].any()


@pytest.mark.lava
def test_samples_overlap_where_the_period_is_shorter_than_the_latency():
    random = np.random.default_rng(3)
    inputs = random.integers(0, 2, (4, 3))
    relay = {"threshold": 0, "decay_u": 4096, "decay_v": 4096}
    identity = np.eye(3, dtype=int)
    circuit = Circuit(
        name="pipeline",
        sources=(Source(name="x", shape=(3,)),),
        populations=(
            Lif(name="first", shape=(3,), **relay),
            Lif(name="second", shape=(3,), **{**relay, "threshold": 131071}),
        ),
        synapses=(
            DenseSynapse(name="a", source="x", target="first", weight=identity),
            DenseSynapse(name="b", source="first", target="second", weight=5 * identity),
        ),
        inputs=("x",),
        period=1,
        latency=3,
        readouts=(Readout("second", 2),),
    )

    trace = run_on_lava(circuit, inputs, ["first"], timeout_s=60)

    np.testing.assert_array_equal(trace.outputs, inputs * 5 << 6)
    np.testing.assert_array_equal(trace.spikes["first"][:, 1], inputs)


@pytest.mark.lava
def test_the_written_script_stands_alone(tmp_path, integrate_then_fire):
    case = integrate_then_fire
    script, archive = emit_lava(case.circuit, tmp_path)
    np.savez(tmp_path / "inputs.npz", inputs=case.inputs)
    blocked = "import sys; sys.modules['targets'] = sys.modules['toolchain'] = None; "
    start = f"import runpy; sys.argv = ['run.py', {str(tmp_path / 'inputs.npz')!r}]; "

    run = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{blocked}{start}runpy.run_path({str(script)!r}, None, '__main__')",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )

    lines = [
        f"sample {index}: {' '.join(map(str, output))}"
        for index, output in enumerate(case.outputs)
    ]
    assert run.stdout.splitlines() == lines, run.stderr
    assert sorted(path.name for path in archive.parent.iterdir()) == ["circuit.npz", "run.py"]


def test_the_script_names_nothing_of_this_package():
    script = lava_process._self_contained_script()

    compile(script, "run.py", "exec")
    assert "toolchain" not in script
    assert "targets" not in script


@pytest.mark.lava
def test_an_exception_inside_a_process_reaches_the_caller(monkeypatch, integrate_then_fire):
    monkeypatch.setattr(lava_process, "refuse_what_lava_cannot_run", lambda circuit: None)
    circuit = integrate_then_fire.circuit
    broken = [
        replace(s, weight_exponent=-1.5) if s.name == "pool-logits" else s
        for s in circuit.synapses
    ]

    with pytest.raises(LavaError) as error:
        run_on_lava(replace(circuit, synapses=tuple(broken)), integrate_then_fire.inputs)

    assert "pool-logits: Traceback" in error.value.problem
    assert "TypeError: ufunc 'right_shift' not supported" in error.value.problem


@pytest.mark.lava
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory file system")
def test_a_run_that_takes_too_long_is_ended_with_all_it_started(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import subprocess, sys, time\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
        "memory = SharedMemory(create=True, size=100)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1], 'w').write(f'{memory.name} {child.pid}')\n"
        "time.sleep(600)\n"
    )

    with pytest.raises(LavaError) as error:
        lava_process.run_script(script, [str(tmp_path / "started")], timeout_s=3)

    memory, child = (tmp_path / "started").read_text().split()
    assert error.value.problem == "the simulator did not finish within 3 s"
    assert not Path("/dev/shm", memory).exists()
    assert not Path("/proc", child, "exe").exists()  # gone, or waiting to be buried


def test_without_lava_the_run_says_what_to_install(monkeypatch, integrate_then_fire):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)

    with pytest.raises(MissingDependencyError):
        run_on_lava(integrate_then_fire.circuit, integrate_then_fire.inputs)


@pytest.mark.lava
@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (np.zeros((3, 2, 5, 5), int), "samples have shape (2, 5, 5) and there are 3"),
        (np.zeros((0, 2, 5, 4), int), "samples have shape (2, 5, 4) and there are 0"),
        (np.full((1, 2, 5, 4), 32), "samples have values 32 to 32"),
    ],
)
def test_samples_that_do_not_fit_the_input_are_refused(integrate_then_fire, inputs, found):
    with pytest.raises(InputDataError) as error:
        run_on_lava(integrate_then_fire.circuit, inputs)

    assert error.value.node == "image"
    assert error.value.problem.startswith(found)
