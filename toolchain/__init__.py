"""Compile trained networks from ONNX to spiking networks, with every loss measured.

This package names neither a chip nor a file format; those live in the package ``targets``,
which this one never imports statically.
"""

__version__ = "0.1.0"
