"""The bit boxes show each bit in its field, what is stored, and the exact error."""

from fractions import Fraction

import numpy as np
import pytest
from matplotlib.patches import Rectangle

import fpsim as fp
from fpsim.plots import bits
from fpsim.plots.bit_boxes import FIELDS


def drawn(made):
    """The bits of the figure by field, from top to bottom and left to right."""
    texts = [t for t in made.axes[0].texts if t.get_gid()]
    rows = {}
    for text in texts:
        rows.setdefault(round(text.get_position()[1], 3), {}).setdefault(text.get_gid(), []).append(text)
    return [
        {
            field: "".join(t.get_text() for t in sorted(texts, key=lambda t: t.get_position()[0]))
            for field, texts in rows[y].items()
        }
        for y in sorted(rows, reverse=True)
    ]


def lines(made, start):
    return [t.get_text() for t in made.axes[0].texts if t.get_text().startswith(start)]


@pytest.mark.parametrize("value", ["0.1", "1/3", -2.5, 1e-7, 70000, 0.0, "-0", "inf", "nan"])
def test_every_bit_of_the_code_is_drawn_in_its_field(value):
    formats = ["float64", "float32", "bfloat16", "float16", "float8_e4m3fn"]
    for row, name in zip(drawn(bits(value, formats)), formats, strict=True):
        about = fp.inspect(value, name)
        assert row == {"sign": about.sign, "exponent": about.exponent, "significand": about.significand}
        assert len("".join(row.values())) == fp.Format(name).bits


def test_boxes_have_the_colours_of_their_fields():
    boxes = [p for p in bits("0.1", "float16").axes[0].patches if isinstance(p, Rectangle)]
    from matplotlib.colors import to_hex

    assert len(boxes) == 16
    for box in boxes:
        assert to_hex(box.get_facecolor()).upper() == dict(FIELDS)[box.get_gid()]


def test_significands_start_at_the_same_place_in_all_rows():
    made = bits(0.1, ["float64", "float16", "float4_e2m1fn"])
    first = {}
    for text in made.axes[0].texts:
        if text.get_gid() == "significand":
            x, y = text.get_position()
            first[round(y, 3)] = min(x, first.get(round(y, 3), 99))
    assert len(first) == 3
    assert len({round(x, 9) for x in first.values()}) == 1


def test_stored_value_and_error_are_exact():
    made = bits("0.1", ["float16", "float8_e4m3fn"])
    assert lines(made, "stored") == [
        "stored 0.0999755859375  =  +1.1001100110₂ × 2^-4", "stored 0.1015625  =  +1.101₂ × 2^-4",
    ]  # fmt: skip
    error = fp.inspect("0.1", "float16").error
    assert error == Fraction(0.0999755859375) - Fraction(1, 10)
    assert lines(made, "error")[0] == "error -2.44141e-05 = -0.4 ulp, relative -0.000244"
    assert lines(bits(0.5), "error") == ["error 0, exact"]


def test_overflow_says_why():
    assert lines(bits(70000), "70000 exceeds") == ["70000 exceeds 65504; from 65520 on rounds to inf."]
    assert lines(bits(70000, "float4_e2m1fn"), "70000 exceeds")


@pytest.mark.parametrize("code", [0x0000, 0x0001, 0x2E66, 0x7BFF, 0x7C00, 0x7C01, 0x7E00, 0xFFFF])
def test_a_code_is_drawn_as_it_is_also_where_it_is_one_of_many_nans(code):
    (row,) = drawn(bits(code=code))
    assert row["sign"] + row["exponent"] + row["significand"] == f"{code:016b}"
    assert lines(bits(code=code), f"code {code:#06x}")


def test_a_scale_has_an_exponent_only():
    (row,) = drawn(bits(code=np.uint8(124), formats="float8_e8m0fnu"))
    assert row == {"exponent": "01111100"}


def test_the_mode_is_kept():
    assert lines(bits("0.1", mode="up"), "stored")[0].startswith("stored 0.10003662109375")


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: bits(), fp.ArgumentError, "bits: expected a value or a code, got neither; give one of them."),
        (lambda: bits(1, code=1), fp.ArgumentError, "bits: expected a value or a code, got both; give one of them."),
        (
            lambda: bits(code=1 << 16), fp.ArgumentError,
            "bits: expected a code from 0 to 2**16 - 1, got code=65536; float16 has no others.",
        ),
        (
            lambda: bits(code=1.5), fp.ArgumentTypeError,
            "bits: expected an integer code, got code=1.5; write it like 0x2e66.",
        ),
        (
            lambda: bits(1, []), fp.ArgumentError,
            'bits: expected a format, at least one, got none; name one, as "float16".',
        ),
        (
            lambda: bits(1, mode="stochastic"), fp.ArgumentError,
            "bits: expected a mode that is not random, got mode='stochastic'; "
            "draw the two neighbours with mode='down' and 'up'.",
        ),
        (
            lambda: bits("one"), fp.ArgumentTypeError,
            "inspect: expected one real number, got value='one'; write it like 0.1 or \"0.1\".",
        ),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message
