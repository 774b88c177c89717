"""From the quantized graph to a circuit of chip neurons: one lowering per file."""
