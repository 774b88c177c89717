"""Operators whose inputs may all be constants: they are computed once, on import."""

from __future__ import annotations

FOLDED = (
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant",
    "ConstantOfShape", "DequantizeLinear", "Div", "Equal", "Erf", "Exp", "Expand",
    "Flatten", "Floor", "Gather", "Gemm", "Greater", "GreaterOrEqual", "Identity", "Less",
    "LessOrEqual", "Log", "MatMul", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad",
    "Pow", "QuantizeLinear", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "Reshape", "Round", "Shape", "Sigmoid", "Sign", "Size",
    "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile",
    "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
)  # fmt: skip
"""Names of the operators; their work is bounded by what they read and write, or nearly so."""
