"""Trained neurons are known by their attributes, and no file does other than they say."""

import onnx
import onnx.helper
import pytest

from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.frontend.testing import (
    check_against_onnxruntime,
    import_proto,
    small_integers,
    spiking_model,
)
from toolchain.ir.verify import accounted

NEURON = (
    "<levels = 3, windows = 2, threshold = 1.5, mixing = [1.0, 0.0, 0.5, 1.0], "
    "retention = 0.5, initial = 0.25>"
)
BODY = f"""
    [entry] a = ai.snn_compile.RepeatWindows <windows = 2> (x)
    [fc] b = MatMul (a, w)
    [pop] c = ai.snn_compile.MultiThreshold {NEURON} (b)
    [fc2] d = MatMul (c, w)
    [mean] y = ai.snn_compile.AverageWindows <windows = 2> (d)"""
WEIGHTS = {"w": small_integers(3, 3)}


def model(body=BODY, *, windows=2, shape="3", **weights):
    text = f"net (float[N, {shape}] x) => (float[N, 3] y) {{ {body} }}"
    return spiking_model(text, windows=windows, **(weights or WEIGHTS))


def refused(proto, kind=UnsupportedOpError):
    with pytest.raises(kind) as error:
        import_proto(proto)
    return error.value


def node(proto, name):
    return next(node for node in proto.graph.node if node.name == name)


def function(proto, name):
    return next(function for function in proto.functions if function.name == name)


def test_every_node_is_accounted_for():
    imported = import_proto(model())

    assert accounted(imported.graph) == {"entry", "fc", "pop", "fc2", "mean"}
    check_against_onnxruntime(imported, small_integers(20, 3, seed=1))


def test_comments_and_names_in_a_definition_change_nothing():
    proto = model()
    for made in proto.functions:
        made.doc_string = "a comment"
        for i, inner in enumerate(made.node):
            inner.name, inner.doc_string = f"inner{i}", "another"

    imported = import_proto(proto)

    check_against_onnxruntime(imported, small_integers(20, 3, seed=1))


def test_functions_that_nothing_uses_do_not_matter():
    proto = model()
    del function(proto, "FoldWindows").node[1:]

    import_proto(proto)


def test_a_definition_that_does_something_else_is_refused():
    proto = model()
    floor = next(n for n in function(proto, "MultiThreshold").node if n.op_type == "Floor")
    floor.op_type = "Ceil"

    error = refused(proto, ImportModelError)

    assert str(error) == (
        "import at 'pop': MultiThreshold is defined in the file, and not as version 1 of "
        "domain 'ai.snn_compile' defines it\n"
        "  hint: export the network again with snn-compile's own exporter"
    )


@pytest.mark.parametrize("name", ["RepeatWindows", "AverageWindows", "MultiThreshold"])
def test_a_number_changed_in_a_definition_is_refused(name):
    proto = model()
    constants = [n for n in function(proto, name).node if n.attribute[:1]]
    plain = next(n for n in reversed(constants) if not n.attribute[0].ref_attr_name)
    attribute = plain.attribute[0]
    if attribute.ints:
        attribute.ints[0] += 1
    else:
        attribute.i += 1

    assert refused(proto, ImportModelError).node in ("entry", "pop", "mean")


def test_a_definition_for_another_number_of_windows_is_refused():
    assert refused(model(windows=3), ImportModelError).node == "pop"


def test_a_definition_at_another_opset_is_refused():
    proto = model()
    function(proto, "MultiThreshold").opset_import[0].version = 16

    assert refused(proto, ImportModelError).node == "pop"


def test_a_second_definition_is_refused():
    proto = model()
    proto.functions.append(function(proto, "MultiThreshold"))

    assert refused(proto, ImportModelError).node == "pop"


def test_a_function_that_is_not_defined_is_refused():
    proto = model()
    proto.functions.remove(function(proto, "AverageWindows"))

    error = refused(proto, ImportModelError)

    assert (error.node, error.problem) == (
        "mean",
        "AverageWindows is a function that the file does not define",
    )


def test_another_version_of_the_domain_is_refused():
    proto = model()
    proto.opset_import[1].version = 2

    error = refused(proto)

    assert str(error) == (
        "import at 'entry': RepeatWindows is of domain 'ai.snn_compile', of which the model "
        "uses version 2; version 1 is supported\n"
        "  hint: compile with the version of snn-compile that exported the network"
    )


def test_a_domain_without_version_is_refused():
    proto = model()
    del proto.opset_import[1]

    assert refused(proto).node == "entry"


def test_an_unknown_function_of_the_domain_is_refused():
    proto = model()
    node(proto, "pop").op_type = "SigmaDelta"

    error = refused(proto)

    assert error.node == "pop"
    assert error.problem.startswith("SigmaDelta is no function of domain 'ai.snn_compile'")


def test_functions_of_other_domains_stay_refused():
    proto = model()
    for named in (node(proto, "pop"), function(proto, "MultiThreshold")):
        named.domain = "org.example"
    proto.opset_import.append(onnx.helper.make_opsetid("org.example", 1))

    error = refused(proto)

    assert (error.node, error.problem) == (
        "pop",
        "MultiThreshold is a function of the model's own",
    )


@pytest.mark.parametrize("missing", ["levels", "threshold", "mixing", "retention", "initial"])
def test_a_missing_attribute_is_refused(missing):
    proto = model()
    pop = node(proto, "pop")
    pop.attribute.remove(next(a for a in pop.attribute if a.name == missing))

    error = refused(proto)

    assert (error.node, error.problem) == ("pop", f"MultiThreshold has no attribute {missing}")


def test_an_attribute_too_many_is_refused():
    proto = model()
    node(proto, "pop").attribute.append(onnx.helper.make_attribute("leak", 0.5))

    assert refused(proto).problem == (
        "MultiThreshold has attribute leak, which is not supported"
    )


def test_an_attribute_of_another_type_is_refused():
    proto = model()
    pop = node(proto, "pop")
    pop.attribute.remove(next(a for a in pop.attribute if a.name == "levels"))
    pop.attribute.append(onnx.helper.make_attribute("levels", 3.0))

    assert refused(proto).problem == (
        "MultiThreshold has an attribute levels that is not an integer"
    )


@pytest.mark.parametrize("windows", [0, -1, 257, 2**40])
def test_a_number_of_windows_out_of_range_is_refused(windows):
    body = BODY.replace("windows = 2", f"windows = {windows}")

    error = refused(model(body))

    assert (error.node, error.problem) == (
        "entry",
        f"RepeatWindows has windows={windows}; 1 to 256 are supported",
    )


def test_windows_that_change_on_the_way_are_refused():
    body = BODY.replace("AverageWindows <windows = 2>", "AverageWindows <windows = 4>")

    error = refused(model(body))

    assert (error.node, error.problem) == (
        "mean",
        "AverageWindows has windows=4, and 'entry' has 2; one is supported",
    )


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (BODY.replace("RepeatWindows <windows = 2>", "AverageWindows <windows = 2>"), "entry"),
        (BODY.replace("ai.snn_compile.RepeatWindows <windows = 2>", "Identity"), "pop"),
        (BODY.replace("ai.snn_compile.AverageWindows <windows = 2>", "Identity"), "pop"),
        (BODY.replace("AverageWindows <windows = 2>", "RepeatWindows <windows = 2>"), "mean"),
        (BODY.replace(f"ai.snn_compile.MultiThreshold {NEURON}", "Identity"), "entry"),
        (BODY.replace("MatMul (a, w)", "ai.snn_compile.RepeatWindows <windows = 2> (a)"), "fc"),
        ("[entry] y = ai.snn_compile.RepeatWindows <windows = 2> (x)", "entry"),
    ],
)
def test_windows_that_are_not_entered_and_left_once_are_refused(body, at):
    assert refused(model(body)).node == at


def test_a_constant_made_of_neurons_is_refused():
    constant = f"[made] k = ai.snn_compile.MultiThreshold {NEURON} (w)"
    body = constant + BODY.replace("MatMul (c, w)", "MatMul (c, k)")

    error = refused(model(body))

    assert (error.node, error.problem.partition(",")[0]) == (
        "made",
        "MultiThreshold makes a constant",
    )


def test_values_that_are_not_float32_are_refused():
    text = f"net (double[N, 3] x) => (double[N, 3] y) {{ {BODY} }}"
    proto = spiking_model(text, windows=2, w=WEIGHTS["w"].astype("float64"))

    error = refused(proto)

    assert (error.node, error.hint) == ("entry", "cast the input to float32 before it")
