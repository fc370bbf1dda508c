"""Each control's figures and sentences, without a browser; and what was recorded for them."""

import re
import sys
from fractions import Fraction

import numpy as np
import pytest

import fpsim as fp
from fpsim.errors import ArgumentError, FormatError, MissingLibraryError
from fpsim.plots.style import saved_bytes
from fpsim.widgets import adding, blocks, designing, histories, lines, racing, recording, scaling

PANELS = ("accumulate", "amax_history", "block_scale", "format_designer", "loss_scale", "number_line")


@pytest.fixture(autouse=True)
def _without_a_front_end(monkeypatch):
    monkeypatch.setenv("FPSIM_WIDGETS", "frames")


def corners(control):
    """The first, the middle and the last value."""
    return {control.values[0], control.values[len(control.values) // 2], control.values[-1]}


@pytest.mark.parametrize("name", PANELS)
def test_every_control_moves_from_end_to_end(name):
    shown = getattr(fp.widgets, name)()
    for control in shown.controls:
        sentences = {shown.frame(**{control.name: value}).sentence for value in corners(control)}
        assert len(sentences) == len(corners(control))  # the control changes something
    assert saved_bytes(shown.frame().figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", PANELS)
def test_a_setting_that_cannot_be_chosen_is_refused(name):
    shown = getattr(fp.widgets, name)()
    with pytest.raises(ArgumentError, match=rf"{name}: expected .* of .*, got .*='no such'; choose "):
        shown.frame(**{shown.controls[0].name: "no such"})
    with pytest.raises(ArgumentError, match=f"{name}: expected settings of .*, got colour"):
        shown.frame(colour="red")


# The loss scale ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0, 7, 24])
def test_fates_are_those_of_the_rounded_gradients(exponent):
    scaled, fate = scaling.fates(exponent)
    stored = fp.round(scaled, "float16")
    assert (scaled == recording.gradients() * 2.0**exponent).all()
    names = np.array([name for name, _, _ in scaling.FATES])[fate]
    assert ((names == "zero") == (stored == 0)).all()
    assert ((names == "overflow") == np.isinf(stored)).all()
    assert ((names == "subnormal") == ((stored > 0) & (stored < 2.0**-14))).all()


def test_between_the_ends_of_the_scale_lies_a_valley():
    shares = [[np.mean(scaling.fates(k)[1] == fate) for fate in (2, 3)] for k in scaling.SCALES]
    zero, over = np.array(shares).T
    assert zero[0] > 0.03
    assert over[-1] > 0.05
    assert ((zero < 0.001) & (over == 0)).sum() > 8
    assert (np.diff(zero) <= 0).all()
    assert (np.diff(over) >= 0).all()


def test_the_sentence_has_the_numbers():
    sentence = fp.widgets.loss_scale().frame(exponent=0).sentence
    zero = 100 * np.mean(fp.round(recording.gradients(), "float16") == 0)
    assert f"{zero:.2f} % of the gradients become 0" in sentence


def test_the_loss_scale_of_another_format():
    assert fp.widgets.loss_scale("bfloat16").frame(exponent=24).sentence.endswith("0.00 % overflow.")
    with pytest.raises(FormatError):
        fp.widgets.loss_scale("flaot16")


def test_recorded_gradients_span_what_a_network_has():
    recorded = recording.gradients()
    assert recorded.shape == (recording.KEPT,)
    assert (np.diff(recorded) <= 0).all()
    again = recording.record_gradients(steps=2)
    assert again.shape == recorded.shape
    assert (again > 0).all()


# Sums ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terms", recording.TERMS)
@pytest.mark.parametrize("order", recording.ORDERS)
def test_recorded_sums_are_the_accumulators(terms, order):
    ends = recording.places(256)[[0, 5, 20, -1]]
    for fmt in recording.FORMATS:
        places, sums, exact = adding.partial_sums(256, order, fmt, terms)
        x = recording.TERMS[terms](256)
        for end in ends:
            place = list(places).index(end)
            np.testing.assert_equal(sums[place], float(fp.Accumulator(fmt, order).sum(x[:end])))
            assert exact[place] == pytest.approx(float(sum(map(Fraction, x[:end].tolist()))), rel=1e-15)


def test_long_sums_are_the_accumulators_too():
    for order in ("sequential", "pairwise"):
        _, sums, _ = adding.partial_sums(8192, order, "float16", "1")
        assert sums[-1] == fp.Accumulator("float16", order).sum(np.ones(8192))


def test_places_end_with_the_number_of_terms():
    for n in recording.LENGTHS:
        places = recording.places(n)
        assert places[-1] == n
        assert len(places) == min(n, recording.POINTS)
        assert set(places) <= set(recording.running_sums()["places"])


def test_terms_that_were_not_recorded_are_refused():
    with pytest.raises(ArgumentError, match=re.escape("accumulate: expected terms of 1, 0.1, 1/k, got terms='1/n'")):
        fp.widgets.accumulate("1/n")


def test_a_sum_that_overflows_is_said():
    sentence = fp.widgets.accumulate("1").frame(n=8192, format="float8_e4m3fn").sentence
    assert "the sum is 16, exactly it is 8192" in sentence


# Formats and lines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "known"), [((5, 10), "float16"), ((8, 7), "bfloat16"), ((8, 23), "float32")])
def test_a_designed_format_is_known_by_its_name(bits, known):
    found = designing.properties(*bits)
    assert found["name"] == known
    assert found["max"] == fp.finfo(known).max
    assert f"({known})" in designing.frame(*bits).sentence


def test_every_designed_format_is_drawn():
    for exponent_bits in (2, 8):
        for significand_bits in (1, 23):
            figure = designing.frame(exponent_bits, significand_bits).figure
            assert figure.axes[1].lines[0].get_xdata()[1] == 1 + 2.0**-significand_bits


@pytest.mark.parametrize("x", lines.VALUES[::6])
def test_the_line_says_what_is_stored(x):
    for fmt in lines.FORMATS:
        stored = fp.inspect(x, fmt).stored
        assert f"{x} is stored as {stored:g} " in lines.frame(x, fmt).sentence


# FP8 and MX ----------------------------------------------------------------------------------------------------------


def test_the_scale_in_force_is_made_from_the_steps_before():
    amax = histories.simulated(64.0)
    for length, rule in ((1, "max"), (4, "max"), (16, "max"), (16, "most_recent")):
        found = histories.scaled_steps(amax, length=length, rule=rule, margin=1)["delayed"]
        behind = length if rule == "max" else 1
        wanted = [max(amax[max(0, k - behind) : k].astype(np.float32)) for k in range(1, len(amax))]
        assert found["scale"][0] == 1
        np.testing.assert_allclose(found["scale"][1:], 224 / np.array(wanted), rtol=1e-6)
        at = histories.OUTLIER
        assert found["saturated"][at] > 0.02
        remembered = slice(at + 1, at + 1 + behind)
        assert (found["scale"][remembered] < found["scale"][at] / 30).all()
        assert found["scale"][at + 1 + behind] > found["scale"][at] / 2
        assert (found["zero"][remembered] > found["zero"][at - 1] + 0.1).all()


def test_what_is_lost_is_what_rounding_loses():
    found = histories.scaled_steps([1.0, 1.0, 64.0, 1.0], "float8_e5m2", length=1)
    x = recording.gradients()[:: histories.EVERY] / recording.gradients()[0]
    for rule in ("delayed", "current"):
        for step, level in enumerate([1.0, 1.0, 64.0, 1.0]):
            scaled = (x * np.float32(level)) * np.float32(found[rule]["scale"][step])
            stored = fp.round(scaled, "float8_e5m2")
            assert found[rule]["zero"][step] == np.mean((stored == 0) & (scaled != 0))
            assert found[rule]["saturated"][step] == np.mean(np.isinf(stored))
    assert found["current"]["saturated"].max() == 0
    assert found["delayed"]["saturated"][2] > 0


@pytest.mark.parametrize("amax", [[1.0], [1.0, -1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_recorded_magnitudes_that_are_none_are_refused(amax):
    with pytest.raises(
        ArgumentError, match="amax_history: expected two or more positive, finite magnitudes, got amax="
    ):
        fp.widgets.amax_history(amax)


def test_recorded_magnitudes_are_shown():
    shown = fp.widgets.amax_history([1.0, 8.0, 1.0])
    assert "at step 2 amax is 8 and the scale in force 448 where 56 would fit" in shown.frame().sentence
    assert fp.widgets.amax_history([2.0, 1.0]).frame().sentence.count("nan") == 0


@pytest.mark.parametrize("format", blocks.FORMATS)
def test_blocks_are_those_of_mx(format):
    x = blocks.two_blocks(6, 10)
    found = blocks.stored_values(x, format)
    assert (found["values"] == fp.mx.round(x, format)).all()
    assert (found["values"] == found["elements"] * np.repeat(found["scales"], 32)).all()
    fmt = fp.mx.MXFormat.parse(format).element
    largest = np.abs(x.reshape(2, 32)).max(axis=1)
    assert (found["scales"] == 2.0 ** (np.floor(np.log2(largest)) - fmt.emax)).all()
    whole = np.float32(fmt.max) / np.float32(largest.max())
    assert found["tensor_scale"] == whole
    assert (found["tensor_values"] == fp.round(x * whole, fmt, saturate=True) / np.float64(whole)).all()
    assert blocks.frame(format, 6, 10).sentence.count("E8M0 code") == 2


def test_an_outlier_costs_its_own_block_alone():
    calm, wild = (blocks.stored_values(blocks.two_blocks(4, k), "mxfp4_e2m1")["errors"] for k in (0, 12))
    assert (calm[32:] == wild[32:]).all()
    assert (np.delete(wild[:32], blocks.AT) == 1).all()


# Trainings -----------------------------------------------------------------------------------------------------------


def test_a_race_trains_as_train_does():
    race = fp.widgets.compare(["float32", "float16"], steps=12, seed=3)
    race.run()
    for recipe in ("float32", "float16"):
        run = fp.train(recipe, steps=12, seed=3, scenario="rounding")
        assert race.losses[recipe] == run.loss
        assert race.accuracies[recipe] == run.accuracy
    assert "float16: step 12 of 12" in race.frame().sentence
    assert race.frame(4).figure.axes[0].get_xlim() == (0, 12)
    assert "step 4 of 12" in race.frame(4).sentence


def test_an_exported_race_is_trained_to_the_end_and_walked_through(monkeypatch):
    monkeypatch.setattr(racing, "MOMENTS", 3)
    race = fp.widgets.compare(["float32"], steps=24)
    panel = race.recorded()
    assert [control.values for control in panel.controls] == [(8, 16, 24)]
    sentences = [frame["sentence"] for frame in panel.frames()]
    assert sentences[0].startswith("float32: step 8 of 24, loss ")
    assert "of test images right" in sentences[-1]
    assert "of test images right" not in sentences[-2]
    assert race.recorded().frame().sentence == sentences[-1]  # not trained again
    assert 'data-name="compare"' in race._repr_mimebundle_()["text/html"]


def test_a_race_can_be_stopped():
    race = fp.widgets.compare(["float32", "float16"], steps=1000)

    def told():
        if len(race.losses["float32"]) == 5:
            race.stop()

    race.start(told=told)
    race.wait(60)
    assert not race.running
    assert {recipe: len(losses) for recipe, losses in race.losses.items()} == {"float32": 5}
    assert race.accuracies == {}
    race.run(["float16"], told=lambda: race.stop() if len(race.losses["float16"]) == 2 else None)  # and begun again
    assert list(race.losses) == ["float16"]


def test_a_race_runs_where_there_are_no_threads(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")  # as in Pyodide

    monkeypatch.setattr(racing.threading.Thread, "start", refuse)
    race = fp.widgets.compare(["float32"], steps=3)
    race.start()
    assert len(race.losses["float32"]) == 3
    assert not race.running


def test_curves_before_the_first_step():
    frame = racing.curves({}, 100)
    assert frame.sentence == "Nothing has been trained yet."
    assert racing.curves({"float16": [np.nan]}, 100).sentence == "float16: step 1 of 100, loss nan."


# Without the libraries -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "library"), [*((name, "ipywidgets") for name in (*PANELS, "compare")), ("bits", "anywidget")]
)
def test_a_missing_library_is_named_with_its_remedy(monkeypatch, name, library):
    monkeypatch.delenv("FPSIM_WIDGETS")
    monkeypatch.setitem(sys.modules, library, None)
    wanted = f"{name}: expected {library} to be installed, got no such module; pip install fpsim-lab[notebooks]."
    with pytest.raises(MissingLibraryError, match=re.escape(wanted)):
        getattr(fp.widgets, name)()
