"""A model that may not compile, looked at node by node: what is in the way, and where.

The same parts as those of `import_model` look at each node, but what they refuse is kept and
not raised. A refused node that keeps the shape of what it reads is taken for a rectifier from
there on; what others compute is taken as a value from outside, as long as ONNX knows its type.
So the nodes behind are looked at, too. Behind a value of unknown type nothing can be said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import onnx

from toolchain.errors import CompileError, ImportModelError
from toolchain.frontend.constants import (
    Resolved,
    learn_initializer,
    learn_node,
    leave_out,
    operands_of,
)
from toolchain.frontend.dependence import dependent_nodes, ends_of, measured_nodes, starts_of
from toolchain.frontend.functions import check_function, check_windows, is_function
from toolchain.frontend.importing import (
    bind_batches,
    check_declared,
    require_importer,
)
from toolchain.frontend.model_file import (
    ModelFile,
    check_model,
    check_node,
    read_file,
    require_plain,
)
from toolchain.frontend.node_importer import NodeImporter
from toolchain.frontend.recurrence import RECURRENT, nodes_for_recurrence
from toolchain.ir.ann import HostOp
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.limits import DEFAULT, Limits


@dataclass
class Survey:
    """What was found out about a model.

    Attributes:
        file: The model, every node named.
        known: Types of values, and constants.
        dependent: Names of the nodes that depend on the sample.
        measured: Names of those that do, too, and of which only the shape is read.
        refused: By name of the node: why it cannot be imported.
        others: What is in the way and no node's fault.
        unreached: Nodes of which nothing can be said, each with the value it waits for.
        nodes: What the others have become, with leftovers of refused ones.
        host: What the host computes of them.
        graph: All of it, if nothing is in the way but nodes that rectifiers stand in for.
        is_whole: Whether it can be, so far.
        for_recurrence: Names of nodes that only serve recurrent layers.
    """

    file: ModelFile
    known: Resolved
    dependent: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()
    refused: dict[str, CompileError] = field(default_factory=dict)
    others: list[CompileError] = field(default_factory=list)
    unreached: dict[str, str] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    host: tuple[HostOp, ...] = ()
    graph: Graph | None = None
    is_whole: bool = True
    for_recurrence: frozenset[str] = frozenset()

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(node.name for node in self.file.proto.graph.node)

    def keep(self, error: CompileError, node: str | None = None) -> None:
        """Keep an error, at the node it names or else at the one that was looked at.

        Where it was raised is not kept: it would keep all that was known there.
        """
        error.__traceback__ = error.__context__ = error.__cause__ = None
        named = error.node if error.node in self._names else node
        if named is None:
            self.others.append(error)
        else:
            self.refused.setdefault(named, error)

    @property
    def is_clear(self) -> bool:
        """Whether nothing is in the way."""
        return not (self.refused or self.others or self.unreached)


def survey_model(path: Path, limits: Limits = DEFAULT) -> Survey:
    """Look at all of a model, whatever is in the way.

    Args:
        path: Of the model.
        limits: On its size.

    Raises:
        ImportModelError: It is no model that can be read, or its input has no fixed shape.
    """
    file = read_file(Path(path), limits)
    graph = file.proto.graph
    samples, _ = bind_batches(graph, file.path, limits)
    names = [sample.name for sample in samples]
    dependent = dependent_nodes(graph, names)
    measured = measured_nodes(graph, dependent)
    nodes = [node for node in dependent if node.name not in measured]
    known = Resolved({sample.name: sample.type for sample in samples})
    survey = Survey(file, known, frozenset(node.name for node in nodes), measured)
    survey.for_recurrence = nodes_for_recurrence(graph, nodes)
    _attempt(survey, partial(check_windows, nodes))
    for problem in (*starts_of(names, nodes), *ends_of(graph, nodes)):
        survey.keep(problem)
    survey.is_whole = survey.is_clear
    operands = operands_of(graph)
    for tensor in graph.initializer:
        _attempt(survey, partial(learn_initializer, known, tensor, operands))
    importer = NodeImporter(file, names, nodes, known)
    for node in graph.node:
        _visit(survey, importer, node)
    leave_out(known, (node.name for node in graph.node if node.name in measured))
    survey.nodes, survey.host = importer.builder.nodes, importer.builder.tail
    if not survey.refused and not survey.others:
        _attempt(survey, partial(_look_at_all, survey))
    if survey.is_whole and not survey.others and not survey.unreached:
        _attempt(survey, partial(_finish, survey, importer))
    return survey


def _look_at_all(survey: Survey) -> None:
    """Look at the model as a whole, where no node by itself is in the way."""
    check_model(survey.file)
    check_declared(survey.file)
    for node, value in survey.unreached.items():
        raise ImportModelError(f"reads {value!r}, which nothing computes", node=node)


def _finish(survey: Survey, importer: NodeImporter) -> None:
    survey.graph = importer.finish()


def _attempt(survey: Survey, work: Callable[[], object], node: str | None = None) -> bool:
    """Do something, and keep what is in the way of it; return whether it is done."""
    try:
        work()
    except CompileError as error:
        survey.keep(error, node)
        return False
    return True


def _visit(survey: Survey, importer: NodeImporter, node: onnx.NodeProto) -> None:
    missing = [name for name in node.input if name and name not in survey.known.types]
    if missing:
        survey.unreached[node.name] = missing[0]
        return
    is_dependent = node.name in survey.dependent

    def learn() -> None:
        require_plain(node, survey.file)
        if is_function(node):
            check_function(survey.file.proto, node)
        else:
            check_node(node, survey.file)
        has_no_value = node.name in survey.dependent | survey.measured
        learn_node(survey.known, node, survey.file, is_dependent=has_no_value)

    def make() -> None:
        require_importer(node)
        importer.visit(node)

    before = importer.builder.copy()
    if not _attempt(survey, learn, node.name):
        survey.is_whole = False
        _forget_outputs(survey, node)
    elif node.name in survey.for_recurrence:
        survey.unreached[node.name] = node.input[0]
    elif is_dependent and not _attempt(survey, make, node.name):
        importer.builder = before
        if not importer.stand_in(node):
            survey.is_whole = False
            _enter_outputs(survey, importer, node)
        if node.name not in survey.refused:
            survey.unreached[node.name] = node.input[0]


def _forget_outputs(survey: Survey, node: onnx.NodeProto) -> None:
    for name in node.output:
        survey.known.types.pop(name, None)


def _enter_outputs(survey: Survey, importer: NodeImporter, node: onnx.NodeProto) -> None:
    """Take what a refused node computes for values from outside, where their shape is known."""
    is_turned = node.op_type in RECURRENT  # the batch axis is not the first
    for name in filter(None, node.output):
        shape = None if is_turned else survey.known.shape(name)
        if shape is not None and len(shape) > 1 and shape[0] == 1 and 0 not in shape:
            importer.enter(name)
        else:
            survey.known.types.pop(name, None)
