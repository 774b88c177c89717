"""The twin: a compiled network as ONNX of standard operators, equal to it in every count."""
