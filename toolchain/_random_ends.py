"""Draws random networks with several inputs and outputs for `toolchain.testing`."""

from __future__ import annotations

import math

from toolchain._random_branches import BranchWriter
from toolchain.ir.ann import Input, Output, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.node import Shape

_SIZE = 5
_FEATURES = 4


class EndsWriter(BranchWriter):
    """Draws one network of two images and some numbers, with outputs all over it."""

    def network(self) -> Graph:
        """Draw everything."""
        image = self.enter("image", (2, _SIZE, _SIZE))
        if self.chance(2):
            image = self.joined(image, self.enter("depth", (1, _SIZE, _SIZE)))
        middle = self.random.choice(self.blocks())(image)
        last = self.flat(self.plain(middle))
        features = self.enter("features", (_FEATURES,))
        given = features if self.chance(3) else self.relu(self.dense(features, 3))
        if self.chance(2):
            last = self.joined(last, given)
        else:
            last = self.added(self.dense(last, 3), self.dense(given, 3))
        hidden = self.relu(self.dense(last, 4))
        ends = [middle, given, hidden, self.dense(hidden, 2), self.dense(last, 2)]
        chosen = self.random.sample(ends, self.random.randint(1, len(ends)))
        return self.used(*(self.leave(name) for name in chosen))

    def enter(self, name: str, shape: Shape) -> str:
        """Add an input."""
        offset = sum(math.prod(n.shape) for n in self.nodes.values() if isinstance(n, Input))
        self.nodes[name] = Input(name=name, shape=shape, source_shape=shape, offset=offset)
        self.shapes[name] = shape
        return name

    def leave(self, source: str) -> Output:
        """Return an output that returns a value."""
        name = f"{source}/out"
        return Output(name=name, inputs=(source,), shape=self.shapes[source], tensor=name)

    def flat(self, x: str) -> str:
        """Flatten a value."""
        size = math.prod(self.shapes[x])
        return self.add(Rearrange(name="", inputs=(x,), shape=(size,)))
