"""``fpsim evaluate``, ``cost`` and ``sensitivity``: the same reports as in Python, and what goes wrong in one line."""

import json

import numpy as np
import pytest

import fpsim as fp
from fpsim.cli import main
from fpsim.experiments.scenario import DigitMLP


@pytest.fixture
def weights(tmp_path):
    with fp.seed(0):
        return fp.save_weights(DigitMLP(), tmp_path / "w.npz")


def printed(capsys, *arguments):
    assert main(list(arguments)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_evaluate_casts_saved_weights(capsys, weights, tmp_path):
    picture = tmp_path / "e.png"
    arguments = ["evaluate", str(weights), "--scenario", "rounding", "--format", "float16", "float8_e5m2"]
    out = printed(capsys, *arguments, "--out", str(picture))
    with fp.seed(0):
        net = DigitMLP()
    expected = fp.evaluate(net, fp.data.digits(size=8), ["float16", "float8_e5m2"])
    assert out == f"{expected.table()}\nWrote {picture}.\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    content = json.loads(printed(capsys, *arguments, "--json"))
    assert content == json.loads(expected.to_json())


def test_train_writes_weights_that_evaluate_reads(capsys, tmp_path):
    saved, run = tmp_path / "w.safetensors", tmp_path / "run"
    settings = ["--scenario", "rounding", "--steps", "30", "--recipe", "float16/float32"]
    out = printed(capsys, "train", *settings, "--weights", str(saved), "--out", str(run))
    assert f"Wrote {saved}; fpsim evaluate {saved}" in out
    from_weights = printed(capsys, "evaluate", str(saved), "--scenario", "rounding", "--format", "float16", "--json")
    again = printed(capsys, "evaluate", str(run), "--format", "float16", "--json")  # trained again: the same weights
    assert json.loads(again) == json.loads(from_weights)
    accuracy = fp.load(run).accuracy
    trained_in = printed(
        capsys, "evaluate", str(saved), "--scenario", "rounding", "--format", "float16/float32", "--json"
    )
    assert json.loads(trained_in)["formats"][1]["accuracy"] == accuracy


def test_evaluate_takes_one_run_of_a_comparison(capsys, tmp_path):
    fp.compare(["float32", "float16/float32"], scenario="rounding", steps=5).save(tmp_path)
    reports = [
        json.loads(printed(capsys, "evaluate", str(tmp_path), *more, "--format", "float16", "--json"))["formats"][0]
        for more in ([], ["--recipe", "float32"], ["--recipe", "float16/float32"])
    ]
    assert reports[0] == reports[1] != reports[2]


def test_evaluate_says_where_a_run_is_not_the_saved_one(capsys, tmp_path):
    fp.train("float32", steps=3, scenario="rounding", momentum=0.9).save(tmp_path)
    assert main(["evaluate", str(tmp_path), "--format", "float16"]) == 0
    assert "trained again, float32 gives other losses than the saved ones" in capsys.readouterr().err


def test_evaluate_trains_where_nothing_was_trained(capsys):
    out = printed(capsys, "evaluate", "--scenario", "rounding", "--steps", "5")
    assert [line.split()[0] for line in out.splitlines()[3:5]] == ["float32", "float16/float32"]


def test_evaluate_scales_pixels_as_the_scenario_does(capsys, tmp_path):
    path = tmp_path / "w.npz"
    with fp.seed(0):
        net = fp.nn.LeNet()
    fp.save_weights(net, path)
    out = printed(capsys, "evaluate", str(path), "--scenario", "overflow", "--format", "bfloat16/float32", "--json")
    images = fp.data.digits()
    expected = fp.evaluate(net, (images.test_x * 255.0, images.test_y), "bfloat16/float32")
    assert json.loads(out)["formats"][1] == json.loads(expected.to_json())["formats"][1]


def test_cost_prints_the_report(capsys, tmp_path):
    picture = tmp_path / "c.png"
    out = printed(capsys, "cost", "--policy", "O2", "--batch", "4", "--device", "t4", "--out", str(picture))
    expected = fp.cost(fp.nn.LeNet(), (4, 1, 32, 32), "O2", devices="T4")
    assert out == f"{expected.table()}\nWrote {picture}.\n"
    assert picture.exists()


def test_cost_as_json(capsys):
    content = json.loads(printed(capsys, "cost", "--scenario", "rounding", "--optimizer", "sgd", "--json"))
    assert [row["policy"] for row in content["rows"]] == ["float32", "mixed_float16", "O2", "float16/float32"]
    assert content["rows"][0]["training bytes"]["state"] == 0
    assert content["input_shape"] == [32, 1, 8, 8]


def test_cost_of_a_decoder_by_name_and_by_fields(capsys, tmp_path):
    picture = tmp_path / "d.png"
    line = ["cost", "--decoder", "gpt2,layers=2", "--batch", "3", "--tokens", "8", "--policy", "O2", "--device", "h100"]
    out = printed(capsys, *line, "--recompute", "--kv", "mxfp4", "--attention", "fused", "--out", str(picture))
    options = {"devices": "H100", "recompute": True, "kv": "mxfp4", "attention": "fused"}
    expected = fp.cost(fp.Decoder.named("gpt2", layers=2), (3, 8), "O2", **options)
    assert out == f"{expected.table()}\nWrote {picture}.\n"
    assert picture.exists()
    fields = "layers=1,width=8,heads=2,vocabulary=5,context=4,mlp=swiglu,bias=false"
    content = json.loads(printed(capsys, "cost", "--decoder", fields, "--policy", "float16", "--json"))
    assert content["input_shape"] == [1, 4]
    assert content["decoder"]["hidden"] == 256
    assert content["decoder"]["bias"] is False


def test_cost_of_a_scenario_of_text(capsys):
    line = ["cost", "--scenario", "transformer", "--batch", "2", "--policy", "O2", "--json"]
    content = json.loads(printed(capsys, *line))
    assert content["network"] == "TransformerLM"
    assert content["input_shape"][0] == 2


def test_sensitivity_prints_the_report(capsys, weights, tmp_path):
    arguments = ["sensitivity", str(weights), "--scenario", "rounding", "--samples", "8", "--steps", "2"]
    out = printed(capsys, *arguments, "--tolerance", "1e-3", "--out", str(tmp_path / "s.png"))
    assert "2 steps on 8 samples" in out
    with fp.seed(0):
        net = DigitMLP()
    expected = fp.sensitivity(net, fp.data.digits(size=8), samples=8, steps=2, lr=1e-3, tolerance=1e-3)
    assert out.startswith(expected.table())
    content = json.loads(printed(capsys, *arguments, "--tolerance", "1e-3", "--json"))
    assert content == json.loads(expected.to_json())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["evaluate", "nothing.npz"], "load_weights: expected a file that can be read, got nothing.npz: No such file"),
        (["evaluate", "nothing"], "load: expected a file that can be read, got nothing/compare.json: No such file"),
        (["evaluate", "w.npz"], "load_state_dict: expected the network's own names, got missing conv1.weight"),
        (["evaluate", "w.npz", "--scenario", "x"], "compare: expected a scenario, got 'x'"),
        (["evaluate", "w.npz", "--scenario", "rounding", "--format", "f17"], "recipe: expected a recipe's name, got"),
        (["evaluate", "--out", "e.pdf"], "evaluate: expected a picture's name ending in .png, got --out e.pdf; "),
        (["cost", "--batch", "0"], "cost: expected a batch of at least 1, got --batch 0; try --batch 32."),
        (["cost", "--optimizer", "adm"], "cost: expected an optimizer's name, or a function that makes one, got "),
        (["cost", "--device", "V1000"], "cost: expected a device of the table, or a Device, got device 'V1000'"),
        (["cost", "--decoder", "gpt5"], "Decoder: expected the name of a published configuration, got 'gpt5'; use"),
        (["cost", "--decoder", "layers=2"], "cost: expected a decoder's layers, width, heads, vocabulary, context,"),
        (["cost", "--decoder", "gpt2,depth=2"], "cost: expected a decoder's name or fields as key=value, got 'depth"),
        (["cost", "--decoder", "gpt2", "--tokens", "2000"], "cost: expected (batch, tokens) with at most 1024 tokens"),
        (["cost", "--decoder", "gpt2", "--tokens", "0"], "cost: expected a shape of whole numbers of at least 1, got "),
        (["cost", "--decoder", "gpt2", "--scenario", "rounding"], "cost: expected --decoder or --scenario, got both"),
        (["cost", "--tokens", "8"], "cost: expected --decoder, got --tokens without it; name a decoder, such as gpt2."),
        (["cost", "--kv", "float16"], "cost: expected attention, recompute, kv and logits for a Decoder alone, got"),
        (["sensitivity", "--samples", "0"], "sensitivity: expected a whole number of at least 1, got samples=0; "),
        (["train", "--weights", "w.txt"], "train: expected a name ending in .npz or .safetensors, got weights='w.txt'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_is_wrong_is_one_line(capsys, weights, monkeypatch, arguments, line):
    monkeypatch.chdir(weights.parent)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fpsim: {line}")
    assert err.count("\n") == 1


def test_weights_of_a_run_are_those_it_ended_with(tmp_path):
    path = tmp_path / "w.npz"
    run = fp.train("float32", steps=20, scenario="rounding", weights=path)
    net = DigitMLP()
    fp.load_weights(net, path)
    images = fp.data.digits(size=8)
    with fp.no_grad():
        right = net(fp.tensor(images.test_x)).argmax(dim=1) == images.test_y
    assert np.mean(right) == run.accuracy
