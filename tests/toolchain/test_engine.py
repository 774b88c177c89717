"""A program reads its circuit for those who ask for it, and takes it along."""

import pickle

import pytest

from toolchain.engine import Program
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit


@pytest.fixture
def circuit():
    """Return a circuit without neurons."""
    nothing = {"sources": (), "populations": (), "synapses": (), "inputs": ()}
    return Circuit(name="net", **nothing, period=1, latency=1)


def test_a_circuit_is_read_once_and_not_before_it_is_asked_for(circuit):
    reads = []
    program = Program(Graph("net", ()), lambda: reads.append("read") or circuit)
    assert not reads

    found = program.circuit, program.circuit

    assert found == (circuit, circuit)
    assert reads == ["read"]


def test_a_circuit_for_a_single_use_is_not_kept(circuit):
    program = Program(Graph("net", ()), lambda: circuit)

    assert program.read_circuit() is circuit
    assert "circuit" not in vars(program)


def test_a_circuit_that_is_there_is_not_read(circuit):
    program = Program(Graph("net", ()), circuit)

    assert program.circuit is program.read_circuit() is circuit


def test_other_processes_get_the_circuit(circuit):
    program = Program(Graph("net", ()), lambda: circuit)

    found = pickle.loads(pickle.dumps(program))

    assert found.circuit.name == "net"
