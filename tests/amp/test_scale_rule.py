"""The loss scale as a state machine: six libraries' scalers side by side."""

import dataclasses

import numpy as np
import pytest

import fpsim as fp

SCRIPT = "GGIGGGIIGGGGGIGGG"  # G finite, I not
SCALES = [1024, 1024, 512, 512, 512, 1024, 512, 256, 256, 256, 512, 512, 512, 256, 256, 256, 512]


def scales(name: str, script: str, **changes) -> list[float]:
    """The scale after each step of a script."""
    rule = dataclasses.replace(fp.amp.PRESETS[name], **changes)
    scale, tracker, history = np.float32(rule.initial), 0, []
    for letter in script:
        scale, tracker = rule.moved(scale, tracker, found=letter == "I")
        assert isinstance(scale, np.float32)
        history.append(float(scale))
    return history


@pytest.mark.parametrize("name", fp.amp.PRESETS)
def test_all_agree_between_floor_and_ceiling(name):
    assert scales(name, SCRIPT, initial=1024.0, interval=3) == SCALES


def trained(name: str, script: str, **changes) -> list[tuple[float, bool]]:
    """The scale after each step of a script of gradients, and whether the step was skipped."""
    w = fp.tensor([1.0, 1.0], requires_grad=True)
    optimizer, scaler = fp.optim.SGD([w], lr=0.5), fp.amp.GradScaler.preset(name, **changes)
    history = []
    for letter in script:
        optimizer.zero_grad()
        gradient = fp.tensor([1.0, {"G": 1.0, "I": np.inf, "N": np.nan}[letter]])
        scaler.scale((w * gradient).sum()).backward()
        report = scaler.step(optimizer)
        scaler.update()
        assert report.scale_after == scaler.get_scale()
        history.append((scaler.get_scale(), report.skipped))
    return history


@pytest.mark.parametrize("name", fp.amp.PRESETS)
@pytest.mark.parametrize("bad", ["I", "N"])
def test_scalers_follow_the_script_with_real_gradients(name, bad):
    script = SCRIPT.replace("I", bad)
    assert trained(name, script, initial=1024.0, interval=3) == [
        (scale, letter == bad) for scale, letter in zip(SCALES, script, strict=True)
    ]


@pytest.mark.parametrize("name", fp.amp.PRESETS)
def test_scalers_part_at_the_floor_with_real_gradients(name):
    ends = [2.0**-6, 2.0**-6, 2.0**-5, 2.0**-5] if name in ("torch", "apex", "keras") else [1, 1, 2, 2]
    assert [scale for scale, _ in trained(name, "I" * 16 + "G" * 4, initial=1024.0, interval=3)[-4:]] == ends


@pytest.mark.parametrize("name", fp.amp.PRESETS)
def test_they_part_at_the_floor(name):
    ends = [2.0**-6, 2.0**-6, 2.0**-5, 2.0**-5] if name in ("torch", "apex", "keras") else [1, 1, 2, 2]
    assert scales(name, "I" * 16 + "G" * 4, initial=1024.0, interval=3)[-4:] == ends


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("torch", 2.0**127),
        ("apex", 2.0**24),
        ("keras", np.inf),
        ("tf_keras", 2.0**127),
        ("jmp", 2.0**127),
        ("fp16_utils", np.inf),
    ],
)
def test_they_part_at_the_ceiling(name, end):
    assert scales(name, "G" * 130, initial=1.0, interval=1)[-1] == end


def test_without_a_floor_the_scale_decays_to_zero():
    assert scales("torch", "I" * 170)[-1] == 0
    assert scales("tf_keras", "I" * 170)[-1] == 1


def test_the_presets_are_the_published_ones():
    table = {name: (rule.initial, rule.interval, rule.check, rule.unscale) for name, rule in fp.amp.PRESETS.items()}
    assert table == {
        "torch": (2.0**16, 2000, "scaled", "multiply"),
        "apex": (2.0**16, 2000, "scaled", "multiply"),
        "keras": (2.0**15, 2000, "scaled", "divide"),
        "tf_keras": (2.0**15, 2000, "unscaled", "multiply"),
        "jmp": (2.0**15, 2000, "unscaled", "multiply"),
        "fp16_utils": (2.0**32, 1000, "sum", "multiply"),
    }


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: fp.amp.GradScaler(init_scale=0.0),
            "scaler: expected a scale that float32 holds, above 0, got scale=0.0; try 65536.0.",
        ),
        (
            lambda: fp.amp.StaticScaler(1e39),
            "scaler: expected a scale that float32 holds, above 0, got scale=1e+39; try 65536.0.",
        ),
        (
            lambda: fp.amp.GradScaler(init_scale="big"),
            "scaler: expected numbers, got scale='big'; give a float.",
        ),
        (
            lambda: fp.amp.GradScaler(growth_factor=1.0),
            "scaler: expected growth_factor > 1, got growth_factor=1.0; 2.0 is usual.",
        ),
        (
            lambda: fp.amp.GradScaler(backoff_factor=1.0),
            "scaler: expected backoff_factor between 0 and 1, got backoff_factor=1.0; 0.5 is usual.",
        ),
        (
            lambda: fp.amp.GradScaler(growth_interval=0),
            "scaler: expected a growth_interval of at least 1 step, got growth_interval=0; 2000 is usual.",
        ),
        (
            lambda: fp.amp.GradScaler.preset("torch", floor=2.0, ceiling=1.0),
            "scaler: expected 0 <= floor <= ceiling, got floor=2.0, ceiling=1.0; exchange them.",
        ),
        (
            lambda: fp.amp.GradScaler.preset("kera"),
            "scaler: expected a library's name, got preset='kera'; did you mean keras, tf_keras?.",
        ),
        (
            lambda: fp.amp.ScaleRule(check="often"),
            "scaler: expected check in ('scaled', 'sum', 'unscaled', 'never'), got check='often'; choose one.",
        ),
    ],
)
def test_bad_arguments_name_their_remedy(call, text):
    with pytest.raises(fp.ArgumentError) as error:
        call()
    assert str(error.value) == text
