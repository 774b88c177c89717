"""Every error that a user can cause, with the node or file it is about and one way out.

Each class has a code that stays the same from version to version. What it means, why it is so
on this hardware and the ways out are the docstring of the class: ``snn-compile explain CODE``
prints it, and ``docs/errors.md`` is made of it.
"""

from __future__ import annotations


class CompileError(Exception):
    """The network cannot be compiled as asked.

    Attributes:
        code: Of the class, for scripts and for ``snn-compile explain``.
        problem: What was found and what is allowed, lower case, no full stop.
        node: Name of the node or path of the file the problem is at; `None` when there is none.
        hint: One imperative sentence that names a way out; `None` when there is none.
    """

    code = "SNN-COMPILE"
    stage = "compile"

    def __init__(
        self, problem: str, *, node: str | None = None, hint: str | None = None
    ) -> None:
        self.problem = problem
        self.node = node
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        """Render ``stage at node 'name': problem`` and the hint on a second line."""
        where = f" at {self.node!r}" if self.node is not None else ""
        hint = f"\n  hint: {self.hint}" if self.hint is not None else ""
        return f"{self.stage}{where}: {self.problem}{hint}"


class ImportModelError(CompileError):
    """The file is not an ONNX model that can be read, or its graph is inconsistent.

    Why:
        A model is a stranger's file. What it names is read from its own folder only, its types
        and shapes must be those that ONNX infers, all axes but the batch axis need a fixed
        length because every neuron of a chip is placed when the network is compiled, and
        weights must be finite numbers because registers hold integers.

    Ways out:
        - Copy the file again, with the files of weights beside it.
        - Export the model again, with a fixed input shape and opset 7 or newer.
        - Let ``onnx.checker.check_model`` look at it: what it refuses is the exporter's fault.
    """

    code = "SNN-MODEL"
    stage = "import"


class UnsupportedOpError(CompileError):
    """An ONNX operator, or the value of one of its attributes, has no importer.

    Why:
        A chip of spiking neurons adds weights where spikes arrive and compares the sum with a
        threshold. Sums of weighted inputs and steps of a staircase are all it can say, so an
        operator must become layers and staircases, or be computed by the host before the first
        or after the last neuron. What can be neither is refused: nothing is dropped or
        approximated in silence.

    Ways out:
        - See what is supported, and under which conditions: ``snn-compile ops``.
        - See all nodes that are in the way at once: ``snn-compile check MODEL.onnx``.
        - Train with Relu, or with another activation that is listed, and export again.
        - Let the host run it between segments on the chip: ``--partial``.
        - Move what only the host can compute to the end of the model, or out of it.
    """

    code = "SNN-OPERATOR"
    stage = "import"


class InputDataError(CompileError):
    """A data file does not hold what the model needs.

    Why:
        Thresholds are set on samples, and stages are compared on samples. Samples of another
        shape or unit, or numbers that are not finite, would give a network that fits other
        data. A build that was changed or is of another version is no data either.

    Ways out:
        - Save samples with ``numpy.savez(path, x=samples, y=labels)``: samples first, in the
          units that the model expects, without Python objects.
        - Compile the network again where a file of a build is missing or damaged.
    """

    code = "SNN-DATA"
    stage = "input data"


class VerifyError(CompileError):
    """The graph breaks the invariants of its phase.

    Why:
        On the chip layers of weights and populations of neurons take turns: a neuron adds up
        what arrives and spikes, and only spikes travel. What is left between them after all
        rewrites, a scale, a pool of values that are no spikes, a second linear layer, has no
        place there.

    Ways out:
        - See the network as it is then: ``snn-compile MODEL.onnx --dump-after prepare``.
        - Put the normalization or the average directly before or after a layer.
        - Put an activation between two linear layers, or merge them.
        - Where the message names a pass and no node of the model, report a bug.
    """

    code = "SNN-VERIFY"
    stage = "verify"


class ConversionError(CompileError):
    """The conditions of a conversion method do not hold.

    Why:
        A spiking neuron sends a count of spikes: 0 to the number of levels, in steps of its
        threshold. The threshold is chosen from the activations on the calibration samples, so
        a layer that is never active on them has none. Trained spiking neurons must be such
        that a neuron can compute them: a mixing of windows that looks ahead without end
        cannot.

    Ways out:
        - Calibrate on real samples, a hundred or more, in the units that the model expects.
        - Choose another method: ``--method percentile`` or ``--method maximum``.
        - Remove layers that are never active; they compute nothing.
    """

    code = "SNN-CONVERT"
    stage = "convert"


class RangeError(CompileError, ArithmeticError):
    """A value leaves its register; the message has the value and the allowed range.

    Why:
        Registers of the chip have fixed widths: a membrane potential beyond its 24 bits wraps
        around, a weight has 8 bits and a threshold 17. A network whose sums may leave a
        register would compute something else without a word, so it is refused before anything
        is written.

    Ways out:
        - Compile with fewer levels: ``--levels`` scales the largest sums.
        - Scale down the layer that the message names, or train it with weight decay.
        - Calibrate on samples without outliers; they set the largest sums.
    """

    code = "SNN-RANGE"
    stage = "quantize"


class CapacityError(CompileError):
    """The network exceeds a limit of the target; the message has used and available.

    Why:
        Neurons, synapses and the connections into and out of a core are places on silicon, and
        their number is fixed. Copies of neurons and inputs count, too.

    Ways out:
        - Choose ``--lowering temporal``: one neuron a unit, and more time steps.
        - Compile with fewer levels: the spatial lowering makes one copy of a neuron for each.
        - Use smaller inputs, fewer channels, or pool earlier.
    """

    code = "SNN-CAPACITY"
    stage = "map"


class EmitError(CompileError):
    """A format cannot say what the network needs.

    Why:
        Files of other tools have their own limits: netx holds one chain of layers, stock Lava
        processes have the registers and geometries that they have. A file that its reader
        would load as another network is not written.

    Ways out:
        - Choose another format with ``--format``; ``lava`` says more than ``netx``.
        - Choose another lowering; the spatial one needs no gates.
        - Leave ``--format`` out: formats that cannot say the network are then skipped, with
          reason.
    """

    code = "SNN-EMIT"
    stage = "emit"


class TrainingError(CompileError):
    """A recipe, a checkpoint or a run of training is not as it must be.

    Why:
        What is trained here is meant for the chip, so a recipe may only ask for networks that
        can be compiled, and every key of it is checked: one that is misspelt would otherwise
        train something else for hours.

    Ways out:
        - Correct the key that the message names.
        - Start again without ``--resume`` where the checkpoint is of another recipe.
    """

    code = "SNN-TRAIN"
    stage = "train"


class TimeLimitError(CompileError):
    """The compilation takes longer than it may.

    Why:
        A model is a stranger's file, and a few nodes can ask for work without end. What takes
        long in an honest one is the verification: every sample runs through every stage.

    Ways out:
        - Allow more time with ``--max-seconds``.
        - Give fewer samples with ``--test``, or write fewer formats with ``--format``.
    """

    code = "SNN-TIME"
    stage = "time"


class OutputFolderError(CompileError):
    """The output folder cannot be written, or holds something that is not a build.

    Why:
        This is about your disk and not about the chip. A build replaces the one before it as a
        whole, so a folder with anything else in it is left alone.

    Ways out:
        - Name a new folder with ``--output``.
        - Move files of your own out of the folder of a build.
        - Make room on the disk, or change the folder's permissions.
    """

    code = "SNN-FOLDER"
    stage = "write"


class UnknownNameError(CompileError, LookupError):
    """No pass, method, target or format of that name is registered.

    Why:
        Targets, formats, lowerings, methods and engines are found by name, and a name that is
        not known is not guessed: the network would go to another chip than you meant.

    Ways out:
        - Use one of the names in the message; ``snn-compile --help`` lists them.
        - Add your own: ``docs/adding-a-target.md``.
    """

    code = "SNN-NAME"
    stage = "look-up"


class WorkerError(CompileError):
    """The processes that should share a run cannot be had, or are lost again and again.

    Why:
        Workers are processes of Ray, on this machine or in a cluster. When one is lost another
        does its piece of the data again, so a lost worker changes nothing. A piece that ends
        every process it is given to is not tried for ever.

    Ways out:
        - Run without ``--workers``: what ends the process is then to be seen.
        - Give workers more memory, or start fewer of them.
        - See whether the cluster answers: ``ray status``.
    """

    code = "SNN-WORKERS"
    stage = "workers"


class MissingDependencyError(CompileError, ImportError):
    """An optional package is absent; the hint has the install line.

    Why:
        Compiling needs neither Lava nor torch. What runs on them, the simulator of Lava or
        training, needs them, in versions that work together: lava-nc 0.10 is archived and
        needs a numpy below 2.

    Ways out:
        - Run the install line of the hint.
        - See what is there and what is not: ``snn-compile doctor``.
        - Use an engine that needs nothing: ``count`` and ``step``.
    """

    code = "SNN-DEPENDENCY"
    stage = "environment"
