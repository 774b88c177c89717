"""The check itself: frontend, preparation, and what they say of each node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx

from toolchain.build_folder import model_name
from toolchain.checking.capacity import capacity_of
from toolchain.checking.findings import Capacity, Check, obstacle_of
from toolchain.checking.verdicts import owner_of, verdicts_of
from toolchain.errors import CompileError
from toolchain.frontend.model_file import name_nodes
from toolchain.frontend.survey import Survey, survey_model
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.verify import phase_problems
from toolchain.limits import DEFAULT, Limits
from toolchain.rewriting import Context, run_phase
from toolchain.target import TARGETS, Target

_NOT_LOOKED_AT = (
    "thresholds, registers and formats depend on samples; compiling with --calibration looks "
    "at them"
)
_BEHIND_IMPORT = "stages behind the import were not reached, and may stop more nodes"
_STOOD_IN = "behind the import, rectifiers stood in for what it refuses, to look at the rest"


def check_model(
    path: Path, *, target: str = "loihi2", levels: int = 15, limits: Limits = DEFAULT
) -> Check:
    """Tell whether a model compiles, and what becomes of each of its nodes.

    Args:
        path: Of the model; weights may be in files in the same folder.
        target: Name of a target.
        levels: Largest spike count of a neuron.
        limits: On the size of the model.

    Raises:
        ImportModelError: It is no model that can be read, or its input has no fixed shape.
        UnknownNameError: There is no such target.
    """
    chip = TARGETS[target]
    survey = survey_model(path, limits)
    prepared, problems = _prepared(survey, chip, levels)
    held = survey.nodes if prepared is None else prepared.nodes
    written = _written(path)
    names = {node.name for node in written}
    stopped = {
        name: obstacle_of(error, owner_of(name, names))
        for name, error in survey.refused.items()
    }
    others = [obstacle_of(error) for error in survey.others]
    for problem in problems:
        name = _onnx_name(survey, held, problem.node)
        if name is None:
            others.append(obstacle_of(problem))
        else:
            stopped.setdefault(name, obstacle_of(problem, owner_of(name, names)))
    is_through = prepared is not None and not problems and survey.is_clear
    capacity = (
        capacity_of(prepared, chip, levels) if prepared is not None and is_through else None
    )
    return Check(
        model={"name": model_name(path), "sha256": survey.file.sha256},
        target=target,
        nodes=tuple(verdicts_of(written, survey, held, stopped)),
        obstacles=(*others, *stopped.values()),
        capacity=capacity,
        notes=tuple(_notes(survey, capacity)),
    )


def _written(path: Path) -> Sequence[onnx.NodeProto]:
    """Return the nodes as the file has them, named."""
    model = onnx.load(path, load_external_data=False)
    name_nodes(model)
    return tuple(model.graph.node)


def _prepared(
    survey: Survey, target: Target, levels: int
) -> tuple[Graph | None, Sequence[CompileError]]:
    """Return the network after `Phase.PREPARE`, if it is imported, and what stops it there."""
    if survey.graph is None:
        return None, ()
    context = Context(target=target, levels=levels, method="mmse", lowering="spatial")
    graph = survey.graph
    try:
        for _, changed in run_phase(graph, Phase.PREPARE, context):
            graph = changed
    except CompileError as error:
        problems = list(phase_problems(graph.at_phase(Phase.PREPARE)))
        is_last_look = any(str(problem) == str(error) for problem in problems)
        return graph, problems if is_last_look else [error]
    return graph, ()


def _onnx_name(survey: Survey, held: Iterable[Node], name: str | None) -> str | None:
    """Return the ONNX node that a node of the graph, or an error, is about."""
    if name in {node.name for node in survey.file.proto.graph.node}:
        return name
    return next((node.origin[0] for node in held if node.name == name and node.origin), None)


def _notes(survey: Survey, capacity: Capacity | None) -> Iterable[str]:
    if survey.graph is None:
        yield _BEHIND_IMPORT
    elif survey.refused:
        yield _STOOD_IN
    if capacity is None:
        return
    if capacity.neurons > capacity.neurons_available:
        yield (
            f"{capacity.neurons:,} neurons do not fit one chip, which has "
            f"{capacity.neurons_available:,}: networks are not spread over chips"
        )
    yield _NOT_LOOKED_AT
