"""`explain`: a line for each operation, in order: its format, its accumulator, and the true reason."""

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn.functional as F

LABELS = np.array([3])


def image():
    return fp.zeros(1, 1, 32, 32)


def applied(how):
    with fp.seed(0):
        return fp.amp.apply(fp.nn.LeNet(), how)


def lines(explanation, op):
    return [
        (row["module"], row["format"], row["accumulate"], row["why"]) for row in explanation.rows() if row["op"] == op
    ]


def test_autocast_is_explained_by_its_lists():
    found = fp.explain(applied("O1"), image())
    assert lines(found, "conv2d") == [
        ("conv1", "float16", "float32", "autocast: on the float16 list"),
        ("conv2", "float16", "float32", "autocast: on the float16 list"),
    ]
    assert lines(found, "relu")[0] == ("", "float16", None, "autocast: on no list, as its input")
    assert lines(found, "log_softmax") == [("", "float32", "float32", "autocast: on the float32 list")]
    assert lines(found, "cast")[0] == (
        "conv1", "float16/float32", None, "an input of conv2d, which runs in float16",
    )  # fmt: skip


def test_an_operation_that_pytorchs_list_knows_by_another_name_says_so():
    x = fp.ones(2, dtype="float16")
    with fp.autocast("float16"):
        found = fp.explain(lambda: (x**2, fp.cat([x, fp.ones(2)]), fp.ones(2, dtype="float64") * x))
    assert lines(found, "power_integer") == [("", "float32", None, "autocast: on the float32 list as pow")]
    assert lines(found, "concatenate") == [("", "float32", None, "autocast: on the list of the widest input as cat")]
    assert lines(found, "multiply") == [
        ("", "float64", None,
         "autocast leaves what float32 does not hold alone: promotion: float64 holds float64 and float16"),
    ]  # fmt: skip


def test_a_modules_own_precision_is_named_and_so_are_its_border_and_output():
    found = fp.explain(applied("O2"), image())
    assert lines(found, "linear") == [
        (name, "float16", "float32", f"assigned to {name}: float16/float32") for name in ("fc1", "fc2")
    ]
    assert [line[3] for line in lines(found, "cast")] == [
        "at the border of conv1, which was assigned float16/float32",
        "the output format of the network",
    ]


def test_without_any_choice_inputs_promote_or_the_default_holds():
    half, brain = fp.ones(2, dtype="float16"), fp.ones(2, dtype="bfloat16")
    found = fp.explain(lambda: half * brain + half.to("float32") + fp.exp(half))
    assert lines(found, "multiply")[0][3] == "promotion: float32 holds float16 and bfloat16"
    assert lines(found, "exp")[0][3] == "its input's format"
    assert lines(found, "cast")[0][3] == "asked for: .to()"


def test_the_order_of_sums_is_told():
    x = fp.ones(3, precision=fp.Precision("float32", order="pairwise"))
    assert lines(fp.explain(x.sum), "sum") == [("", "float32", "float32 pairwise", "its input's format")]


def test_a_backward_pass_is_told_too():
    net = applied("mixed_float16")

    def step(x):
        loss = F.cross_entropy(net(x), LABELS)
        loss.backward()
        return loss

    found = fp.explain(step, image())
    assert found.result.dtype.name == "float32"
    backward = [row for row in found.rows() if row["phase"] == "backward"]
    assert backward[0]["why"] == "the gradient of input 0, a float32 tensor"
    assert {(row["op"], row["format"]) for row in backward if row["module"] == "fc2"} == {
        ("linear", "float16"), ("cast", "float32"),
    }  # fmt: skip
    assert {row["why"] for row in backward if row["module"] == "fc2" and row["op"] == "cast"} == {
        "the gradient of input 0, a float32 weight"
    }


def test_nothing_that_is_computed_changes():
    net, x = applied("O1"), image()
    plain = net(x)
    np.testing.assert_array_equal(fp.explain(net, x).result._data, plain._data)


def test_it_prints_a_table_and_gives_html_and_data():
    found = fp.explain(fp.nn.Sequential(fp.nn.Linear(2, 2), fp.nn.ReLU()), fp.ones(1, 2))
    assert found.table().splitlines() == [
        "module  op      inputs   runs in  sums in  why",
        "-----------------------------------------------------------------",
        "0       linear  float32  float32  float32  assigned to 0: float32",
        "1       relu    float32  float32  -        its input's format",
    ]
    assert "<table" in found._repr_html_()
    assert [row["op"] for row in found.to_dict()["rows"]] == ["linear", "relu"]
    assert found.formats() == {"0.linear": "float32", "1.relu": "float32"}


def test_operations_that_ran_alike_share_a_line():
    x = fp.ones(2)
    found = fp.explain(lambda: x + 1 + 1 + 1)
    assert [(row["op"], row["times"]) for row in found.rows()] == [("add", 3)]
    assert "times" in found.table().splitlines()[0]


def test_a_function_that_fails_leaves_no_observer():
    with pytest.raises(fp.ShapeError):
        fp.explain(lambda: fp.ones(2) @ fp.ones(3))
    assert fp.autograd.current().observers == ()
