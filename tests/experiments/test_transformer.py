"""The scenario `transformer`: text as data, the same bits twice and after a checkpoint, and its six troubles."""

import json
from dataclasses import replace

import numpy as np
import pytest

import fpsim as fp
from fpsim.cli import main
from fpsim.errors import DataError, ResultsError
from fpsim.experiments import SCENARIOS, repeating, scenario, texts, troubles
from fpsim.experiments.table import cause


def smallest(vocabulary, context):
    return fp.nn.TransformerLM(vocabulary, width=16, heads=2, layers=2, context=context)


SMALL = replace(SCENARIOS["transformer"], network=smallest, context=8, batch=2, steps=4)


@pytest.mark.parametrize(
    "recipe", ["float32", "float16", "bfloat16_stochastic", "mixed_float16", "fp8_delayed", "mxfp4"]
)
def test_the_same_seed_gives_the_same_numbers(recipe):
    assert fp.train(recipe, scenario=SMALL).same_numbers(fp.train(recipe, scenario=SMALL))


@pytest.mark.parametrize("recipe", ["float16", "mixed_float16", "fp8_delayed"])
def test_a_resumed_training_goes_on_to_the_same_bits(recipe, tmp_path):
    whole = fp.train(recipe, scenario=SMALL)

    def stop(recipe, seed, step, steps):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fp.train(recipe, scenario=SMALL, checkpoint=tmp_path, checkpoint_every=2, progress=stop)
    assert fp.train(resume=tmp_path, scenario=SMALL).same_numbers(whole)


def test_a_checkpoint_of_another_text_is_refused(tmp_path):
    fp.train("float32", scenario=SMALL, checkpoint=tmp_path)
    with pytest.raises(fp.CheckpointError, match="give the same text with data="):
        fp.train(resume=tmp_path, scenario=SMALL, data=("ab" * 40, "ab" * 10))


def test_the_loss_falls_to_that_of_the_characters_frequencies():
    text = SMALL.load()
    shares = np.bincount(text.train) / len(text.train)
    unigram = -(shares * np.log(shares)).sum()  # 3.09: what the frequencies of the characters alone give
    run = fp.train("float32", 80, scenario=replace(SMALL, context=16, batch=8, lr=0.02))
    assert abs(run.loss[0] - np.log(67)) < 0.05
    assert max(run.final_loss, run.test_loss) < unigram + 0.05


def test_epsilon_is_as_large_as_the_largest_gradient_whose_square_vanishes():
    largest = np.sqrt(2.0**-25 / (1 - scenario.BETA2))
    assert largest <= scenario.EPSILON < 2 * largest
    assert fp.round((1 - scenario.BETA2) * largest**2, "float16").item() == 0


def test_saved_runs_can_be_repeated(tmp_path):
    run = fp.train("float32", 2, scenario="transformer", batch=2)
    read = fp.load(run.save(tmp_path / "run.json"))
    assert read.settings["scenario"] == "transformer"
    assert repeating.repeat(read).same_numbers(run)


def test_a_sweep_knows_the_scenarios_own_data():
    found = fp.sweep({"lr": [0.01, 0.02]}, "serial", scenario="transformer", recipe="float32", steps=1, batch=2)
    assert [len(point.run.loss) for point in found.points] == [1, 1]


def test_a_comparison_names_its_cause_and_has_a_picture():
    found = fp.compare(["float32", "float16", "bfloat16"], "transformer", 1, batch=2)
    assert "float16 stores" in cause(found)
    assert found.plot().axes[0].get_title(loc="left").endswith("next characters")


# Data ----------------------------------------------------------------------------------------------------------------


def test_a_files_last_tenth_is_to_test(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("aé☃" * 100, encoding="utf-8")
    text = texts.text_from(path)
    assert (len(text.train), len(text.test), text.characters) == (270, 30, "aé☃")
    assert fp.train("float32", 1, scenario=SMALL, data=str(path)).settings == {}  # the scenario has no name
    path.write_text("ab" * 100, encoding="utf-8")
    assert texts.text_from(path).characters == "ab"


def test_the_alphabet_of_two_strings_is_the_first_ones():
    text = texts.text_from(("hello", "hole"))
    assert (text.characters, text.test.tolist()) == ("ehlo", [1, 3, 2, 0])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (("abc" * 20, "abxc" * 9), "train: expected a test part of the training part's characters, got 'x' at 2"),
        (("abc", "abc" * 9), "train: expected at least 10, for windows of 8, got 3 characters to train"),
        (("abc" * 20, "abc"), "train: expected at least 9, for windows of 8, got 3 characters to test"),
        (("abc" * 20, ""), "got 0 characters to test"),
        ("no/such/file.txt", "train: expected text or a text file, got 'no/such/file.txt': No such file"),
        ("digits", "expected text or a text file, got 'digits'"),
        (7, r"train: expected text, a file, or two strings \(train, test\), got int"),
        (fp.data.Text(np.arange(40), np.arange(40), "ab"), "train: expected codes from 0 to 1, got train from 0 to 39"),
        (fp.data.Text(np.zeros(40), np.arange(40), "ab"), "expected codes as integers in one dimension"),
    ],
)
def test_text_that_cannot_be_learnt_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        fp.train("float32", scenario=SMALL, data=data)


def test_a_file_in_another_encoding_and_a_folder_are_refused(tmp_path):
    (tmp_path / "latin.txt").write_bytes("aé".encode("latin-1"))
    with pytest.raises(DataError, match=r"expected a text file in UTF-8, got .*byte 1"):
        fp.train("float32", scenario=SMALL, data=tmp_path / "latin.txt")
    with pytest.raises(DataError, match="expected text or a text file"):
        fp.train("float32", scenario=SMALL, data=tmp_path)


def test_evaluate_counts_every_position():
    text = SMALL.load()
    net = smallest(67, 8)
    x, y = (part[:3] for part in SMALL.to_test(text))
    report = fp.evaluate(net, (x, y), "float16/float32")
    assert (report.samples, report.classes) == (24, 67)
    with fp.no_grad():
        right = (net(x).numpy().argmax(-1) == y).mean()
    assert report["float32"].accuracy == right
    assert fp.evaluate(net, x, "float16").samples == 24
    with pytest.raises(DataError, match="a label for each row of outputs"):
        fp.evaluate(net, (x, y[:, 0]), "float16")


# The troubles --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return fp.troubles()


def test_every_cure_helps(found):
    assert len(found) == 6
    for name, without, cured in (
        ("logits", 1, 0), ("mask", 8, 0), ("layer norm", 0.99, 1e-3), ("softmax", 0.1, 1e-6),
        ("residual stream", 0.99, 0.01), ("lost updates", 0.1, 1e-3),
    ):  # fmt: skip
        assert found[name].without >= without, name
        assert found[name].cured <= cured, name


def test_the_troubles_are_the_same_each_time(found):
    again = (troubles.logits, troubles.mask, troubles.layer_norm, troubles.softmax, troubles.residual)
    assert [measure() for measure in again] == list(found)[:5]


def test_the_troubles_have_the_forms_of_a_report(found):
    assert "share of updates" in found.table()
    assert [row["name"] for row in json.loads(found.to_json())["rows"]] == [trouble.name for trouble in found]
    assert found._repr_html_().count("<tr") == 7
    with pytest.raises(ResultsError, match="troubles: expected one of logits, mask"):
        found["no"]


# The command line ----------------------------------------------------------------------------------------------------


def test_compare_shows_the_troubles_below(tmp_path, capsys):
    command = f"compare --scenario transformer --recipe float32 --steps 1 --batch 2 --executor serial --out {tmp_path}"
    assert main([*command.split(), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert len(content["beside"]["transformer"]["rows"]) == 6
    assert (tmp_path / "transformer.png").exists()
    assert main(["plot", str(tmp_path)]) == 0


def test_bare_compare_leaves_it_out(capsys):
    assert main(["compare", "--help"]) == 0
    assert "transformer (published rounding underflow overflow)" in " ".join(capsys.readouterr().out.split())


def test_evaluate_and_train_on_the_command_line(tmp_path, capsys):
    weights = tmp_path / "w.npz"
    assert main(f"train --scenario transformer --recipe float32 --steps 1 --batch 2 --weights {weights}".split()) == 0
    assert main(f"evaluate {weights} --scenario transformer --format float16/float32 --json".split()) == 0
    text = capsys.readouterr().out
    assert json.loads(text[text.index("{") :])["classes"] == 67
