"""Files of any kind, damaged without a look at what they hold."""

from __future__ import annotations

from random import Random

_PIECE = 64


def damage_bytes(random: Random, content: bytes) -> bytes:
    """Return the content with a few bytes changed, added, taken away or repeated."""
    damaged = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        _damage(random, damaged)
    return bytes(damaged)


def _damage(random: Random, content: bytearray) -> None:
    place = random.randrange(len(content) + 1)
    end = place + random.randint(1, _PIECE)
    kind = random.choice(("flip", "flip", "flip", "set", "delete", "insert", "cut", "repeat"))
    if kind == "flip" and place < len(content):
        content[place] ^= 1 << random.randrange(8)
    elif kind == "set" and place < len(content):
        content[place] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    elif kind == "delete":
        del content[place : random.choice((place + 1, end))]
    elif kind == "insert":
        content[place:place] = random.randbytes(random.choice((1, 2, _PIECE)))
    elif kind == "cut":
        del content[place:]
    elif kind == "repeat":
        content[place:place] = content[place:end] * random.choice((1, 2, 50))
