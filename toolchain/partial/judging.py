"""What the check says of parts of a model: whether a part compiles, and what its steps take."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx

from toolchain.checking import Check
from toolchain.checking.verdicts import owner_of
from toolchain.errors import CompileError
from toolchain.partial.dataflow import Step
from toolchain.partial.extraction import Extraction, product_of
from toolchain.partial.regions import Region


class Judge:
    """Lets the ordinary check look at parts of a model, at each once.

    Attributes:
        extraction: Takes the parts out.
    """

    extraction: Extraction

    def __init__(
        self,
        extraction: Extraction,
        check: Callable[[Path], Check],
        check_time: Callable[[], None],
    ) -> None:
        self.extraction = extraction
        self._check_model, self._check_time = check, check_time
        self._found: dict[tuple[frozenset[str], tuple[str, ...]], Check | None] = {}

    def stopped(self, region: Region) -> frozenset[str] | None:
        """Return the names of the steps that stop a region; `None` if it compiles.

        They are none if what stops it is at no step.
        """
        check = self._check(region)
        if check is None:
            return frozenset()
        named = {found.node for found in check.obstacles if found.node is not None}
        return None if check.compiles else region.names & named

    def suspects(self, region: Region) -> frozenset[str]:
        """Return the names of the steps that may stop a region, where none is named.

        They are those that what is named was made of, else those that do not compile by
        themselves, else all.
        """
        check = self._check(region)
        named = [found.node for found in check.obstacles if found.node] if check else []
        owners = {owner_of(name, region.names) for name in named} & region.names
        alone = (Region((step,), step.reads, step.makes) for step in region.steps)
        return frozenset(
            owners
            or {one.steps[0].name for one in alone if not self.compiles(one)}
            or region.names
        )

    def compiles(self, region: Region, products: Sequence[str] = ()) -> bool:
        """Tell whether a region compiles as a network of its own.

        Args:
            region: The region.
            products: Outputs behind which a product with 1 stands.
        """
        check = self._check(region, products)
        return check is not None and check.compiles

    def takes_neurons(self, step: Step) -> bool:
        """Tell whether a step does not just become part of the one behind it."""
        region = Region((step,), step.reads, step.makes)
        check = self._check(region, step.makes)
        return (
            check is None
            or not check.compiles
            or any(node.verdict == "on chip" for node in check.nodes)
        )

    def spiking(self, region: Region, inner: Sequence[str]) -> onnx.ModelProto:
        """Return a region as a model in which ``inner`` outputs are spikes, if they can be.

        The frontend leaves activations at the very end of a network to the host, which would
        then be sent their sums. A product with 1 keeps them on the chip.
        """
        products = list(inner)
        while products:
            check = self._check(region, products)
            if check is not None and check.compiles:
                break
            named = set() if check is None else {found.node for found in check.obstacles}
            kept = [value for value in products if product_of(value) not in named]
            products = kept if len(kept) < len(products) else []
        return self.extraction.part(region, products)

    def _check(self, region: Region, products: Sequence[str] = ()) -> Check | None:
        """Return what the check says of a region; `None` if that is no model at all."""
        key = (region.names, tuple(products))
        if key not in self._found:
            self._found[key] = self._look_at(region, products)
        return self._found[key]

    def _look_at(self, region: Region, products: Sequence[str]) -> Check | None:
        self._check_time()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "part.onnx"
            try:
                onnx.save(self.extraction.part(region, products), path)
                return self._check_model(path)
            except CompileError:
                return None
