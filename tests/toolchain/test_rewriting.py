"""Passes run by phase, in an order that follows from what they say, verified one by one."""

from __future__ import annotations

import dataclasses
from graphlib import CycleError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain import rewriting
from toolchain.errors import VerifyError
from toolchain.ir.ann import Affine, Conv, Dense, Relu, SumPool
from toolchain.ir.graph import Phase
from toolchain.ir.reference import run
from toolchain.ir.verify import accounted, verify
from toolchain.registry import Registry
from toolchain.rewriting import (
    PASSES,
    Context,
    Pass,
    compiler_pass,
    order_of,
    rewrite_each,
    run_phase,
)
from toolchain.target import TARGETS
from toolchain.testing import chain, random_network, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")


@pytest.fixture
def passes(monkeypatch):
    """Return a function that makes the given rewrites the only passes, all of one phase."""
    registry = Registry("pass", "toolchain.mapping")
    monkeypatch.setattr(rewriting, "PASSES", registry)

    def make(phase, **rewrites):
        for name, (rewrite, after) in rewrites.items():
            registry.register(name)(Pass(name, phase, after, rewrite))

    return make


def nothing(graph, _):
    return graph


def network():
    return chain(
        (2,),
        Dense(name="first", weight=np.ones((2, 2))),
        Relu(name="act"),
        Dense(name="last", weight=np.ones((2, 2))),
    )


def test_the_resolved_order_of_all_passes(golden):
    lines = [
        f"{phase.name.lower()}: {' > '.join(step.name for step in order_of(phase)) or '-'}"
        for phase in Phase
    ]

    golden("text/pipeline.txt", "\n".join(lines) + "\n")


def test_every_pass_is_named_after_its_function():
    for name in PASSES:
        function = PASSES[name].rewrite
        assert function.__name__ == name.replace("-", "_")
        assert function.__module__ == f"toolchain.passes.{function.__name__}"


def test_every_pass_waits_for_passes_of_its_own_phase():
    for name in PASSES:
        for before in PASSES[name].after:
            assert PASSES[before].phase is PASSES[name].phase


def test_passes_run_after_those_they_wait_for_and_else_by_name(passes):
    passes(
        Phase.LOWER,
        c=(nothing, ()),
        a=(nothing, ("c",)),
        b=(nothing, ()),
    )

    assert [step.name for step in order_of(Phase.LOWER)] == ["b", "c", "a"]
    assert order_of(Phase.PREPARE) == ()


def test_passes_that_wait_for_each_other_are_an_error(passes):
    passes(Phase.LOWER, a=(nothing, ("b",)), b=(nothing, ("a",)))

    with pytest.raises(CycleError):
        order_of(Phase.LOWER)


def test_a_rewrite_becomes_a_pass_and_stays_a_function(passes):
    @compiler_pass("do-nothing", phase=Phase.LOWER, after=("x",))
    def do_nothing(graph, _):
        return graph

    assert rewriting.PASSES["do-nothing"] == Pass("do-nothing", Phase.LOWER, ("x",), do_nothing)
    assert do_nothing(network(), CONTEXT).name == "chain"


def renamed(graph, _):
    return dataclasses.replace(graph, name="renamed") if graph.name == "chain" else graph


def test_what_changed_something_is_told_and_then_the_phase(passes):
    passes(Phase.PREPARE, quiet=(nothing, ()), rename=(renamed, ()))

    steps = list(run_phase(network(), Phase.PREPARE, CONTEXT))

    assert [name for name, _ in steps] == ["rename", "prepare"]
    assert [graph.phase for _, graph in steps] == [Phase.IMPORT, Phase.PREPARE]


@pytest.mark.parametrize(("phase", "runs"), [(Phase.PREPARE, 4), (Phase.LOWER, 1)])
def test_preparation_repeats_until_nothing_changes(passes, phase, runs):
    calls = []

    def up_to_three(graph, _):
        calls.append(None)
        return dataclasses.replace(graph) if len(calls) <= 3 else graph

    passes(phase, count=(up_to_three, ()))
    graph = chain((2,), Dense(name="last", weight=np.ones((2, 2))))

    list(run_phase(graph, phase, CONTEXT))

    assert len(calls) == runs


def test_a_pass_that_never_settles_is_stopped(passes, monkeypatch):
    monkeypatch.setattr(rewriting, "_CHANGES_MAX", 100)
    passes(Phase.PREPARE, restless=(lambda graph, _: dataclasses.replace(graph), ()))

    steps = list(run_phase(network(), Phase.PREPARE, CONTEXT))

    assert len(steps) == 101


def test_a_pass_that_loses_a_node_is_caught_at_once(passes):
    def lose(graph, _):
        return graph.bypass("act") if "act" in graph else graph

    passes(Phase.PREPARE, lose=(lose, ()), later=(renamed, ("lose",)))

    with pytest.raises(VerifyError) as error:
        list(run_phase(network(), Phase.PREPARE, CONTEXT))

    assert error.value.node == "act"


def test_what_a_phase_leaves_is_verified(passes):
    passes(Phase.PREPARE, quiet=(nothing, ()))

    with pytest.raises(VerifyError, match="Affine is left after prepare"):
        list(run_phase(chain((2,), Affine(name="a")), Phase.PREPARE, CONTEXT))


def test_every_node_that_is_left_is_rewritten_in_its_turn():
    graph = chain((2,), *(Affine(name=name) for name in "abcd"))
    seen = []

    def rewrite(graph, node):
        seen.append(node.name)
        return graph.bypass("b") if node.name == "a" else graph

    found = rewrite_each(graph, Affine, rewrite)

    assert seen == ["a", "c", "d"]
    assert "b" not in found


@given(st.randoms())
def test_no_step_of_preparation_changes_the_function(random):
    graph = random_network(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)
    wanted = run(graph, x)

    for _, after in run_phase(graph, Phase.PREPARE, CONTEXT):
        np.testing.assert_array_equal(run(after, x), wanted)
        verify(after)
        assert accounted(after) == set(graph.source_nodes)


@given(st.randoms())
def test_preparing_twice_is_preparing_once(random):
    *_, (_, prepared) = run_phase(random_network(random), Phase.PREPARE, CONTEXT)

    for step in order_of(Phase.PREPARE):
        assert step.rewrite(prepared, CONTEXT) is prepared


def test_passes_of_other_phases_leave_an_imported_network_alone():
    graph = chain(
        (1, 4, 4),
        SumPool(name="sum", kernel=(2, 2), stride=(2, 2)),
        Conv(name="conv", weight=np.ones((1, 1, 1, 1))),
        Affine(name="affine"),
    )

    for phase in (Phase.CONVERT, Phase.LOWER):
        for step in order_of(phase):
            assert step.rewrite(graph, CONTEXT) is graph
