"""What to train, on what and how, as a TOML file.

A recipe has the tables ``[data]``, ``[network]``, ``[neuron]``, ``[training]`` and, to start
from a trained analogue network, ``[hybrid]``. The classes here list the keys. What is not a
key of a table is refused, so that a misspelt one does not train something else.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from toolchain.errors import MissingDependencyError, TrainingError

T = TypeVar("T")

ACTIVATIONS = ("lm-ht", "qcfs", "relu")
AUGMENTATIONS = ("crop", "mirror", "shift", "autoaugment", "cutout")
OPTIMIZERS = ("adamw", "sgd")
SOURCES = (
    "npz", "shards", "images", "mnist", "fashion-mnist", "cifar10", "cifar100", "cifar10-dvs",
)  # fmt: skip
_WITH_TEST = ("npz", "shards", "images")


@dataclass(frozen=True, kw_only=True)
class DataTable:
    """Where the samples are.

    Attributes:
        source: One of `SOURCES`.
        path: Folder of the data set; for ``npz`` the file with the training samples ``x`` and
            labels ``y``, for ``shards`` a folder of such files, for ``images`` a folder with
            one of images for each class.
        test: For ``npz``, ``shards`` and ``images``: the same of the test samples.
        size: For ``images``: height and width that they are brought to, in pixels, >= 1.
        window_axis: For ``npz`` and ``shards``: whether samples are ``(windows, *shape)``.
        frames: For ``cifar10-dvs``: frames that the events of a sample make, >= 1.
        validation: Samples held out of the training set to choose the best epoch, >= 1.
        samples: Training samples used, validation included; 0 for all.
        augment: Random changes of training images, of `AUGMENTATIONS`.
        shift: Pixels that ``shift`` moves at most, >= 0.
        cutout: Side of the square that ``cutout`` sets to 0, in pixels, >= 1.
    """

    source: str
    path: str
    test: str = ""
    size: int = 224
    window_axis: bool = False
    frames: int = 10
    validation: int = 5000
    samples: int = 0
    augment: tuple[str, ...] = ()
    shift: int = 2
    cutout: int = 16

    def __post_init__(self) -> None:
        _one_of(self.source, SOURCES, "data.source")
        for name in self.augment:
            _one_of(name, AUGMENTATIONS, "data.augment")
        _at_least(self, "data", validation=1, samples=0, frames=1, size=1, shift=0, cutout=1)
        if self.source in _WITH_TEST and not self.test:
            what, name = ("file", "test.npz") if self.source == "npz" else ("folder", "test")
            raise TrainingError(
                f"data.test is missing; source {self.source!r} needs a {what} of test samples",
                hint=f'name it: test = "{name}"',
            )


@dataclass(frozen=True, kw_only=True)
class NetworkTable:
    """Which network; with ``[hybrid]``, which activations the network to start from gets.

    Attributes:
        name: Of the architecture.
        activation: One of `ACTIVATIONS`.
        sizes: The keys that the architecture has besides.
    """

    name: str = ""
    activation: str = "lm-ht"
    sizes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of(self.activation, ACTIVATIONS, "network.activation")


@dataclass(frozen=True, kw_only=True)
class NeuronTable:
    """The neurons, or with activation ``qcfs`` the staircases, which have ``levels`` alone.

    Attributes:
        levels: >= 1.
        windows: >= 1; ignored for samples that have windows of their own number.
        mixing: Mode of the mixing matrix.
        threshold: > 0, or 0 for the published 2/levels (of staircases: 8).
        retention: At the start of training, 0.5 to 1.
        initial: Membrane potential before the first window.
    """

    levels: int = 2
    windows: int = 2
    mixing: str = "full"
    threshold: float = 0.0
    retention: float = 1.0
    initial: float = 0.0

    def __post_init__(self) -> None:
        _at_least(self, "neuron", levels=1, windows=1, threshold=0)


@dataclass(frozen=True, kw_only=True)
class TrainingTable:
    """How.

    Attributes:
        epochs: >= 1.
        batch: Samples of one step, >= 2, since normalization needs two.
        optimizer: One of `OPTIMIZERS`; ``sgd`` has Nesterov momentum.
        learning_rate: At the start; falls to 0 along a cosine.
        weight_decay: Of all parameters, mixing and leak included, as published.
        momentum: Of ``sgd``.
        mixup: Both parameters of the beta distribution that shares of mixed images are drawn
            from, >= 0; 0 mixes none.
        seed: Of all randomness.
        threads: Of the processor; 0 for torch's own choice.
        device: As torch calls it.
    """

    epochs: int = 10
    batch: int = 64
    optimizer: str = "adamw"
    learning_rate: float = 0.001
    weight_decay: float = 0.0005
    momentum: float = 0.9
    mixup: float = 0.0
    seed: int = 0
    threads: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        _one_of(self.optimizer, OPTIMIZERS, "training.optimizer")
        _at_least(
            self, "training", epochs=1, batch=2, weight_decay=0, momentum=0, mixup=0, seed=0,
            threads=0,
        )  # fmt: skip
        if not self.learning_rate > 0:
            raise TrainingError(
                f"training.learning_rate is {self.learning_rate}; it must be above 0"
            )


@dataclass(frozen=True, kw_only=True)
class HybridTable:
    """Where to start from.

    Attributes:
        start: Checkpoint of a network with ``qcfs`` activations, or an ONNX network.
    """

    start: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole recipe; paths in it are absolute."""

    data: DataTable
    network: NetworkTable = field(default_factory=NetworkTable)
    neuron: NeuronTable = field(default_factory=NeuronTable)
    training: TrainingTable = field(default_factory=TrainingTable)
    hybrid: HybridTable | None = None

    def __post_init__(self) -> None:
        if self.hybrid is None and not self.network.name:
            raise TrainingError("network.name is missing")
        if self.hybrid is None:
            return
        given = [key for key in ("name", "sizes") if getattr(self.network, key)]
        if given:
            key = next(iter(self.network.sizes), "name")
            raise TrainingError(
                f"network.{key} is given, and [hybrid] starts from a network that is there",
                hint="remove it",
            )
        for name in ("threshold", "retention", "initial"):
            if getattr(self.neuron, name) != getattr(NeuronTable, name):
                raise TrainingError(
                    f"neuron.{name} is given, and [hybrid] takes it from the network",
                    hint="remove it",
                )


_NOT_OF_THE_RESULT = ("training.threads", "training.device", "data.path", "data.test")
"""Keys in which a checkpoint and a recipe may differ."""


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file; paths in it are relative to its folder.

    Raises:
        TrainingError: It cannot be read, or a key or value is not one; the message says which.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise TrainingError(f"cannot be read: {why.lower()}", node=str(path)) from None
    try:
        tables = _parse_toml(content)
    except ValueError as error:
        raise TrainingError(f"is not TOML: {error}", node=str(path)) from None
    try:
        return _absolute(recipe_of(tables), path.absolute().parent)
    except TrainingError as error:
        raise TrainingError(error.problem, node=str(path), hint=error.hint) from None


def recipe_of(tables: Mapping[str, Any]) -> Recipe:
    """Return the recipe that nested tables say.

    Raises:
        TrainingError: A key is unknown or missing, or a value is of the wrong type or range.
    """
    _refuse_unknown(tables, (f.name for f in dataclasses.fields(Recipe)), "")
    if "data" not in tables:
        raise TrainingError("the table [data] is missing")
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise TrainingError(f"{name} is {table!r}; it must be a table, [{name}]")
    network = dict(tables.get("network", {}))
    plain = {k: network.pop(k) for k in ("name", "activation") if k in network}
    sizes = network.pop("sizes", {}) | network
    tables = {**tables, "network": {**plain, "sizes": sizes}}
    kinds = {"data": DataTable, "network": NetworkTable, "neuron": NeuronTable,
             "training": TrainingTable, "hybrid": HybridTable}  # fmt: skip
    made: dict[str, Any] = {k: _table(kinds[k], t, k) for k, t in tables.items()}
    return Recipe(**made)


def recipe_tables(recipe: Recipe) -> dict[str, Any]:
    """Return what `recipe_of` makes the recipe of, in plain lists and dictionaries."""
    tables = dataclasses.asdict(recipe)
    return {k: _plain(v) for k, v in tables.items() if v is not None}


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Return how two recipes differ in what matters for the result, each as a sentence."""
    before, after = (_flat(recipe_tables(recipe)) for recipe in (old, new))
    return [
        f"{key} is {before.get(key)!r} in the checkpoint and {after.get(key)!r} in the recipe"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key) and key not in _NOT_OF_THE_RESULT
    ]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the known name nearest to one that is not."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else None


def _table(kind: type[T], table: Mapping[str, Any], name: str) -> T:
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    _refuse_unknown(table, fields, f"{name}.")
    for key, each in fields.items():
        required = (
            each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        )
        if required and key not in table:
            raise TrainingError(f"{name}.{key} is missing")
    return kind(**{k: _typed(v, hints[k], f"{name}.{k}") for k, v in table.items()})


_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    tuple: "a list",
}


def _typed(value: Any, kind: Any, key: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    origin = typing.get_origin(kind) or kind
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if isinstance(origin, type) and (
        not isinstance(value, origin) or (origin is not bool and isinstance(value, bool))
    ):
        wanted = _KINDS.get(origin, "a table")
        raise TrainingError(f"{key} is {value!r}; it must be {wanted}")
    return value


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], prefix: str) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            raise TrainingError(
                f"{prefix}{key} is no key of a recipe; there are "
                + ", ".join(f"{prefix}{name}" for name in names),
                hint=nearest(key, names),
            )


def _one_of(value: str, known: tuple[str, ...], key: str) -> None:
    if value not in known:
        raise TrainingError(
            f"{key} is {value!r}; it must be one of {', '.join(known)}",
            hint=nearest(str(value), known),
        )


def _at_least(table: Any, name: str, **least: float) -> None:
    for key, bound in least.items():
        if not getattr(table, key) >= bound:
            raise TrainingError(
                f"{name}.{key} is {getattr(table, key)}; it must be {bound} or more"
            )


def _absolute(recipe: Recipe, folder: Path) -> Recipe:
    data, hybrid = recipe.data, recipe.hybrid
    test = str(folder / data.test) if data.test else ""
    if hybrid is not None:
        hybrid = dataclasses.replace(hybrid, start=str(folder / hybrid.start))
    data = dataclasses.replace(data, path=str(folder / data.path), test=test)
    return dataclasses.replace(recipe, data=data, hybrid=hybrid)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _parse_toml(content: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise MissingDependencyError(
                "reading recipes needs tomli on Python 3.10, which is not installed",
                hint="install it with: pip install 'snn-compile[train]'",
            ) from error
    return tomllib.loads(content)
