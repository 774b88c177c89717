"""Models of which a part cannot be spikes: segments on the chip, and on the host between them.

`toolchain.partial.compilation` is the whole way; `toolchain.partial.planning` says what goes
where, without samples.
"""
