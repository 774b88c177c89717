"""What to do about operators that have no importer."""

from __future__ import annotations

_GROUPS = {
    "train with Relu as activation": ("ThresholdedRelu",),
    "train with BatchNormalization, whose statistics are constants, or take --partial": (
        "GroupNormalization", "InstanceNormalization", "LRN", "LayerNormalization",
        "LpNormalization", "MeanVarianceNormalization", "RMSNormalization",
        "SimplifiedLayerNormalization",
    ),
    "train a feed-forward network, or take --partial: no layer on the chip keeps a state": (
        "GRU", "LSTM", "RNN",
    ),
    "train without attention, or take --partial: a spike cannot scale another": (
        "Attention", "Einsum", "MultiHeadAttention", "QAttention", "RotaryEmbedding",
    ),
    "compute it before or behind the network, or take --partial: neurons add and compare": (
        "Ceil", "Cos", "CumSum", "Equal", "GlobalLpPool", "Greater", "GreaterOrEqual",
        "Hardmax", "Less", "LessOrEqual", "LpPool", "Mod",
        "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMin", "ReduceProd",
        "ReduceSumSquare", "Sign", "Sin", "Sqrt", "Where",
    ),
    "cut the model before it, with onnx.utils.extract_model, or take --partial": (
        "NonMaxSuppression", "NonZero", "RoiAlign", "ScatterND", "TopK", "Unique",
    ),
    "quantize the model statically: scales that follow the sample are no weights": (
        "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeLinear", "DynamicQuantizeMatMul",
        "MatMulInteger", "MatMulIntegerToFloat",
    ),
    "export the model as it is for inference": ("Bernoulli", "Multinomial", "RandomNormal"),
}  # fmt: skip


def way_out(operator: str) -> str | None:
    """Return what to do about an operator, if there is anything to say of it alone."""
    return next((way for way, names in _GROUPS.items() if operator in names), None)
