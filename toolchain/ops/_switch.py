"""Attributes that switch something on or off."""

from __future__ import annotations

from toolchain.ops._call import Call


def switch(call: Call, key: str, *, default: bool) -> bool:
    """Return an attribute that is 0 or 1; nobody agrees about what others mean."""
    value = call.integer(key, int(default))
    call.require(value in (0, 1), f"has {key}={value}; 0 or 1 is allowed")
    return bool(value)
