"""What a user can choose of a compilation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.conversion import METHODS
from toolchain.errors import ConversionError, UnknownNameError
from toolchain.ir.graph import Phase
from toolchain.limits import DEFAULT, Limits
from toolchain.mapping import MAPPINGS
from toolchain.rewriting import PASSES
from toolchain.schedule import AUTO, require_schedule
from toolchain.straight_pieces import PIECES
from toolchain.target import FORMATS, TARGETS
from toolchain.tuning.pieces import require_pieces

OPTIONS_FILE = "options.json"
"""In a build folder: those that it was compiled with."""

EXACT, UNIFORM = "exact", "uniform"
"""Ways from many thresholds to one: ours, and the one of the LM-HT paper."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user can choose; the resolved ones are written beside the build.

    Attributes:
        model: ONNX file.
        target: Name of a target.
        calibration: npz file with ``x``; `None` takes ``calibration.npz`` beside the model.
        test: npz file with ``x``, and ``y`` if there are labels; `None` verifies on the
            calibration samples.
        levels: Largest spike count of a neuron in one window; `None` chooses (`tuning.levels`).
            Neurons that the model brings have their own, whatever is asked for.
        lowering: Name of a lowering; ``auto`` chooses (`tuning.lowering`).
        schedule: ``sequential``, ``pipelined``, or ``auto`` for the lowering's own: pipelined
            where neurons have no memory or fire binary numbers, else sequential.
        method: Name of a conversion method.
        pieces: Straight pieces of a smooth activation, 2 to 32.
        formats: Names of formats to write; `None` takes the target's that can be written.
        output: Folder of the build; `None` takes ``build/<model>-<target>``.
        reparameterization: ``exact``, or ``uniform`` to measure beside it what the way of the
            LM-HT paper would have changed. What is built is exact either way.
        dump_after: Name of a pass or phase whose graph is dumped; `None` for none.
        max_bytes: Bytes of the model with its weights.
        max_nodes: Nodes of the model.
        max_elements: Elements of all values of one sample together; see `limits.Limits`.
        max_seconds: Time that the compilation may take, verification included.
    """

    model: Path
    target: str = "loihi2"
    calibration: Path | None = None
    test: Path | None = None
    levels: int | None = 15
    lowering: str = AUTO
    schedule: str = AUTO
    method: str = "mmse"
    pieces: int = PIECES
    formats: tuple[str, ...] | None = None
    output: Path | None = None
    dump_after: str | None = None
    reparameterization: str = EXACT
    max_bytes: int = DEFAULT.model_bytes
    max_nodes: int = DEFAULT.nodes
    max_elements: int = DEFAULT.elements
    max_seconds: float = 3600.0

    @property
    def limits(self) -> Limits:
        """On the size of the model."""
        return Limits(
            model_bytes=self.max_bytes, nodes=self.max_nodes, elements=self.max_elements
        )

    def require_sensible(self) -> None:
        """Refuse names that nothing has, and numbers that mean nothing.

        Raises:
            ConversionError: There are no levels, or as many pieces as no activation has.
            UnknownNameError: There is no such name; it says those there are.
        """
        if self.levels is not None and self.levels < 1:
            raise ConversionError(
                f"{self.levels} levels were asked for; a neuron sends at least 1 spike",
                hint="use --levels with a number above 0",
            )
        for name in self.formats or TARGETS[self.target].formats:
            FORMATS[name]
        if self.lowering != AUTO:
            MAPPINGS[self.lowering]
        METHODS[self.method]
        require_pieces(self.pieces)
        require_schedule(self.schedule)
        if self.reparameterization not in (EXACT, UNIFORM):
            raise UnknownNameError(
                f"no reparameterization is called {self.reparameterization!r}; known: {EXACT}, "
                f"{UNIFORM}"
            )
        phases = {phase.name.lower() for phase in Phase}
        if self.dump_after is not None and self.dump_after not in phases:
            PASSES[self.dump_after]
