"""Importers, one ONNX operator family per file."""
