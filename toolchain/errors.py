"""Every error that a user can cause, with the node or file it is about and one way out."""

from __future__ import annotations


class CompileError(Exception):
    """The network cannot be compiled as asked.

    Attributes:
        problem: What was found and what is allowed, lower case, no full stop.
        node: Name of the node or path of the file the problem is at; `None` when there is none.
        hint: One imperative sentence that names a way out; `None` when there is none.
    """

    stage = "compile"

    def __init__(
        self, problem: str, *, node: str | None = None, hint: str | None = None
    ) -> None:
        self.problem = problem
        self.node = node
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        """Render ``stage at node 'name': problem`` and the hint on a second line."""
        where = f" at {self.node!r}" if self.node is not None else ""
        hint = f"\n  hint: {self.hint}" if self.hint is not None else ""
        return f"{self.stage}{where}: {self.problem}{hint}"


class ImportModelError(CompileError):
    """The file is not an ONNX model that can be read, or its graph is inconsistent."""

    stage = "import"


class UnsupportedOpError(CompileError):
    """An ONNX operator, or the value of one of its attributes, has no importer."""

    stage = "import"


class InputDataError(CompileError):
    """A data file does not hold what the model needs."""

    stage = "input data"


class VerifyError(CompileError):
    """The graph breaks the invariants of its phase."""

    stage = "verify"


class ConversionError(CompileError):
    """The conditions of a conversion method do not hold."""

    stage = "convert"


class RangeError(CompileError, ArithmeticError):
    """A value leaves its register; the message has the value and the allowed range."""

    stage = "quantize"


class CapacityError(CompileError):
    """The network exceeds a limit of the target; the message has used and available."""

    stage = "map"


class EmitError(CompileError):
    """A format cannot say what the network needs."""

    stage = "emit"


class TrainingError(CompileError):
    """A recipe, a checkpoint or a run of training is not as it must be."""

    stage = "train"


class OutputFolderError(CompileError):
    """The output folder cannot be written, or holds something that is not a build."""

    stage = "write"


class UnknownNameError(CompileError, LookupError):
    """No pass, method, target or format of that name is registered."""

    stage = "look-up"


class MissingDependencyError(CompileError, ImportError):
    """An optional package is absent; the hint has the install line."""

    stage = "environment"
