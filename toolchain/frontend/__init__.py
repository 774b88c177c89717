"""From an ONNX file to a graph in phase IMPORT.

A model is read with suspicion (`model_file`, `external_data`), must lead from one input to one
output (`dependence`), has its constants computed (`constants`), and then each
node goes to its importer in `toolchain.ops` (`importing`). Every node of the model ends up in
the graph, as a constant or as the origin of a node, or the model is refused.
"""

from __future__ import annotations

from toolchain.frontend.importing import ImportedModel, import_model

__all__ = ["ImportedModel", "import_model"]
