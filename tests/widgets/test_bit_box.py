"""The bit box: what `bits.js` computes, run by node where there is one, is what `fpsim.rounding` computes."""

import json
import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest

import fpsim as fp
from fpsim.errors import ArgumentError, ArgumentTypeError, FormatError
from fpsim.widgets.bit_box import FORMATS, Bits, bits, rows
from fpsim.widgets.panel import asset

ALL = (*FORMATS, "float64", "float8_e5m2", "float8_e4m3fnuz", "float6_e3m2fn", "float4_e2m1fn", "e6m9")
NARROW = ("float16", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float6_e3m2fn")


@pytest.fixture(autouse=True)
def _without_a_front_end(monkeypatch):
    monkeypatch.setenv("FPSIM_WIDGETS", "frames")


@pytest.fixture(scope="module")
def javascript(tmp_path_factory):
    """Run an expression over `data` and the module's functions in `box`; its value, by way of JSON."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    module = tmp_path_factory.mktemp("js") / "bits.mjs"
    module.write_text(asset("bits.js"), encoding="utf-8")
    program = (
        f"import * as box from {json.dumps(module.as_uri())}; import {{ readFileSync }} from 'fs';"
        "const data = JSON.parse(readFileSync(0, 'utf8')); console.log(JSON.stringify(eval(process.argv[1])));"
    )

    def run(expression, data):
        command = [node, "--input-type=module", "-e", program, expression]
        done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def specification(*names):
    return Bits("1", names).specification()


def texts():
    """Decimals, midpoints, the edges of formats, and what is not finite."""
    rng = np.random.default_rng(7)
    random = [repr(float(x)) for x in rng.standard_normal(60) * 10.0 ** rng.integers(-45, 40, 60)]
    plain = "0 -0 0.1 -2.5e-3 1/3 -1/7 2049 65504 65519.99 65520 448 464 464.1 1e-400 +5 .5 7. inf -inf nan".split()
    tiny = "5.960464477539063e-08 2.98023223876953125e-08 2.9802322387695316e-08 5e-324 2.47e-324 1e309".split()
    halves = [repr(1 + fp.Format(fmt).eps * half) for fmt in ALL if fmt != "float64" for half in (0.5, 1.5)]
    return [*plain, *tiny, *halves, *random]


def test_javascript_rounds_as_fpsim_does(javascript):
    found = javascript(
        "data.texts.map((text) => box.rows({text}, data.formats))", {"texts": texts(), "formats": specification(*ALL)}
    )
    for text, in_js in zip(texts(), found, strict=True):
        if text == "nan":
            for fmt, theirs in zip(ALL, in_js, strict=True):
                has = fp.Format(fmt).has_nan
                assert theirs["stored"] == ("nan" if has else "nothing: this format has no NaN")
            continue
        for row, theirs in zip(rows({"text": text}, ALL), in_js, strict=True):
            assert (text, row.format.name, theirs["code"]) == (text, row.format.name, row.code)
            assert theirs["bits"] == row.sign + row.exponent + row.significand
            if row.kind not in ("nan", "inf"):
                assert Fraction(theirs["stored"]) == Fraction(row.stored)  # all digits
            else:
                assert float(theirs["stored"]) == row.stored or row.kind == "nan"


@pytest.mark.parametrize("name", NARROW)
def test_every_code_means_the_same_in_javascript(javascript, name):
    fmt = fp.Format(name)
    codes = np.arange(2**fmt.bits, dtype=np.uint64)
    data = {"codes": codes.tolist(), "f": specification(name)[0]}
    value = "n.special ? (n.sign ? '-' : '') + n.special : (n.sign ? '-' : '') + Number(n.num) / Number(n.den)"
    found = javascript(f"data.codes.map((c) => box.decode(BigInt(c), data.f)).map((n) => {value})", data)
    values, wanted = np.array(found, np.float64), fp.decode(codes, fmt).astype(np.float64)
    np.testing.assert_array_equal(values, wanted)
    np.testing.assert_array_equal(np.signbit(values), np.signbit(wanted) & ~np.isnan(wanted))


@pytest.mark.parametrize("name", NARROW)
def test_every_code_becomes_itself_again(javascript, name):
    fmt = fp.Format(name)
    codes = np.arange(2**fmt.bits, dtype=np.uint64)
    data = {"codes": codes.tolist(), "f": specification(name)[0]}
    found = javascript("data.codes.map((c) => Number(box.encode(box.decode(BigInt(c), data.f), data.f)))", data)
    numbers = ~np.isnan(fp.decode(codes, fmt).astype(np.float64))
    np.testing.assert_array_equal(np.array(found)[numbers], codes[numbers])


@pytest.mark.parametrize("name", NARROW)
def test_a_step_of_one_ulp_is_the_next_number(javascript, name):
    fmt = fp.Format(name)
    codes = np.arange(2**fmt.bits, dtype=np.uint64)
    data = {"codes": codes.tolist(), "f": specification(name)[0]}
    found = javascript(
        "data.codes.map((c) => [false, true].map((up) => Number(box.step(BigInt(c), up, data.f))))", data
    )
    values = fp.decode(codes, fmt).astype(np.float64)
    for column, goal in enumerate((-np.inf, np.inf)):
        stepped = fp.decode(np.array(found, np.uint64)[:, column], fmt).astype(np.float64)
        np.testing.assert_array_equal(stepped, fp.nextafter(values, goal, fmt).astype(np.float64))


def test_a_clicked_nan_keeps_its_bits(javascript):
    state = {"format": 0, "code": "0x7c01"}
    found = javascript("box.rows(data.state, data.formats)", {"state": state, "formats": specification(*FORMATS)})
    assert [row["stored"] for row in found] == ["nan"] * 4
    assert found[0]["code"] == "0x7c01"


@pytest.mark.parametrize("text", ["", "abc", "1e", "1/0", "0x1p3", "1e99999", "--1", "1 2"])
def test_what_is_no_number_is_told_apart(javascript, text):
    assert javascript("box.parse(data)", text) is None


def test_the_number_can_be_read_and_set():
    box = bits("0.1")
    assert box.number == {"text": "0.1"}
    assert [row.code for row in box.rows] == ["0x2e66", "0x3dcd", "0x3dcccccd", "0x1d"]
    box.number = {"format": 0, "code": "0x3c01"}
    assert [row.stored for row in box.rows] == [1 + 2.0**-10, 1.0, 1 + 2.0**-10, 1.0]
    assert bits(0.1).number["text"].startswith("0.1000000000000000055511151231257827")


def test_formats_without_a_sign_are_refused():
    with pytest.raises(ArgumentError, match="bits: expected formats with a sign, at least one, got float8_e8m0fnu"):
        bits("1", ["float8_e8m0fnu"])
    with pytest.raises(ArgumentError, match="got none"):
        bits("1", [])
    with pytest.raises(FormatError):
        bits("1", ["flaot16"])
    with pytest.raises(ArgumentTypeError):
        bits("one")


def test_the_live_box_is_an_anywidget(monkeypatch):
    pytest.importorskip("anywidget")
    monkeypatch.delenv("FPSIM_WIDGETS")
    box = bits("0.1", ["float16"])
    data = box._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in (data[0] if isinstance(data, tuple) else data)
    box.widget.number = {"format": 0, "code": "0x3c00"}  # as a click does
    assert box.number == {"format": 0, "code": "0x3c00"}
    assert box.rows[0].stored == 1.0
    box.number = {"text": "2"}
    assert box.widget.number == {"text": "2"}
    assert "https://" not in box.widget._esm
    box.widget.close()
