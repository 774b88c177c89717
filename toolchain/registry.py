"""Named things found by importing the folder they live in: one file each, strictly."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from toolchain.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of things of one kind, filled by the modules of one package.

    The package's modules (not its sub-packages) are imported on first use, in the order of
    their names. A module that fails to import gives its own traceback.

    Attributes:
        kind: What the things are, for messages, singular: ``"target"``.
        package: Dotted name of the package whose modules register.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._things: dict[str, T] = {}
        self._modules: dict[str, str] = {}
        self._is_discovered = False

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files its argument under ``name``.

        Raises:
            ValueError: The name is taken; two things may not share one.
        """

        def file_under_name(thing: T) -> T:
            if name in self._things:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._things[name] = thing
            self._modules[name] = getattr(thing, "__module__", "")
            return thing

        return file_under_name

    def __getitem__(self, name: str) -> T:
        """Return the thing called ``name``.

        Raises:
            UnknownNameError: There is none; the message lists those there are.
        """
        self._discover()
        if name not in self._things:
            close = difflib.get_close_matches(name, self._things, n=1)
            raise UnknownNameError(
                f"no {self.kind} is called {name!r}; known: {', '.join(sorted(self._things))}",
                hint=f"did you mean {close[0]!r}?" if close else None,
            )
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether something is registered under ``name``."""
        self._discover()
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, sorted."""
        self._discover()
        return iter(sorted(self._things))

    def __len__(self) -> int:
        """Count the things registered."""
        self._discover()
        return len(self._things)

    def _discover(self) -> None:
        if self._is_discovered:
            return
        package = importlib.import_module(self.package)
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
            if not module.ispkg and not module.name.startswith("_"):
                importlib.import_module(f"{self.package}.{module.name}")
        self._is_discovered = True
