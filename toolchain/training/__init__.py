"""Training of LM-HT networks with torch, and their exchange as ONNX.

An optional part of the house: everything here needs torch and nothing outside needs anything
from here. A trained network leaves as an ONNX file (`toolchain.training.export`), and that file
is what the compiler reads.

Tensors have the window axis first, then the batch: ``(windows, batch, *shape)``. A window axis
of length 1 stands for the same values in every window.
"""
