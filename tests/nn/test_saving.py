"""Weights in files: exact round trips, other programs' files, and everything a damaged file can be."""

import json
import pickle
import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fpsim as fp
import fpsim.nn as nn
from fpsim import testing as ft
from tests.oracles.bits import assert_same

ENDINGS = pytest.mark.parametrize("ending", [".npz", ".safetensors"])


def network(dtype="float32"):
    with fp.seed(0):
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 3)).to(dtype)


def values(net):
    return {name: np.asarray(v).copy() for name, v in net.state_dict().items()}


@ENDINGS
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float32", "float64"])
def test_what_is_saved_is_loaded_bit_for_bit(tmp_path, ending, dtype):
    net, other = network(dtype), network(dtype)
    net[1](fp.ones(3, 2, 2, 2, dtype=dtype))  # moves the statistics
    path = fp.save_weights(net, tmp_path / f"w{ending}")
    with fp.no_grad():
        other[2].weight *= 0.0
    assert repr(fp.load_weights(other, str(path))) == "<All keys matched successfully>"
    for name, value in values(net).items():
        np.testing.assert_array_equal(values(other)[name], value)
    assert other[1].num_batches_tracked == 1
    assert [p.name for p in tmp_path.iterdir()] == [f"w{ending}"]


class Named(nn.Module):
    """Parameters under any names."""

    def __init__(self, names, values, dtype):
        super().__init__()
        for name in names:
            self.register_parameter(name, nn.Parameter(values, precision=fp.Precision(dtype)))


PRINTABLE = st.text(min_size=1, max_size=8).filter(lambda name: name.isprintable() and "." not in name)
ODD = st.sampled_from(
    ["a b", "a/b", "../x", "/etc", "x.npy", "é", "日本", "con", "file", "a:b", "\\", "'", '"', "0", "-"]
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ft.formats(), st.data(), st.lists(PRINTABLE | ODD, min_size=1, max_size=3, unique=True))
def test_any_format_shape_layout_and_name_is_loaded_bit_for_bit(tmp_path, fmt, data, names):
    shape = data.draw(st.sampled_from([(), (0,), (2, 0, 3), (5,), (2, 3)]))
    drawn = data.draw(ft.arrays(fmt, shape, elements=ft.values(fmt)))
    net = Named(names, drawn, fmt)
    for name in names:  # as the engine may leave them: by columns, backwards
        w = getattr(net, name)
        w._data = data.draw(
            st.sampled_from([lambda x: np.asarray(x, order="F"), lambda x: x[::-1] if x.ndim else x, np.copy])
        )(w._data)
    for ending in (".npz", ".safetensors"):
        other = Named(names, np.zeros(shape), fmt)
        fp.load_weights(other, fp.save_weights(net, tmp_path / f"w{ending}"))
        for name in names:
            assert_same(getattr(other, name)._data, getattr(net, name)._data)


@ENDINGS
@pytest.mark.parametrize("name", ["a\nb", "a\0b", "\ud800", "x" * 600, "\x1b[31m"])
def test_a_name_that_could_not_be_read_again_is_refused_before_anything_is_written(tmp_path, ending, name):
    with pytest.raises(
        fp.DataError, match=r"^save_weights: expected names that can be read again, got .*; rename these\.$"
    ):
        fp.save_weights(Named([name], np.ones(1), "float16"), tmp_path / f"w{ending}")
    assert list(tmp_path.iterdir()) == []


def test_the_name_that_safetensors_keeps_is_an_npzs_like_any(tmp_path):
    net, other = (Named(["__metadata__"], x, "float16") for x in (np.ones(2), np.zeros(2)))
    with pytest.raises(fp.DataError, match="safetensors keeps that name for itself"):
        fp.save_weights(net, tmp_path / "w.safetensors")
    fp.load_weights(other, fp.save_weights(net, tmp_path / "w.npz"))
    (loaded,) = other.parameters()
    assert loaded.tolist() == [1.0, 1.0]


@ENDINGS
def test_loading_rounds_into_each_parameters_own_format(tmp_path, ending):
    net = network("float32")
    path = fp.save_weights(net, tmp_path / f"w{ending}")
    half = network("float16")
    fp.load_weights(half, path)
    np.testing.assert_array_equal(half[2].weight._data, fp.round(net[2].weight._data, "float16"))


def test_numpy_reads_the_npz(tmp_path):
    net = network()
    with np.load(fp.save_weights(net, tmp_path / "w.npz"), allow_pickle=False) as arrays:
        assert set(arrays.files) == set(net.state_dict())
        np.testing.assert_array_equal(arrays["2.weight"], net[2].weight)


def test_a_compressed_npz_of_numpys_is_read(tmp_path):
    net = nn.Linear(2, 1)
    np.savez_compressed(tmp_path / "w.npz", weight=np.zeros((1, 2)), bias=np.ones(1))
    fp.load_weights(net, tmp_path / "w.npz")
    assert (net.weight.tolist(), net.bias.tolist()) == ([[0.0, 0.0]], [1.0])


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_bfloat16_of_other_programs_is_read_exactly(tmp_path):
    w, b = (np.array(x, ml_dtypes.bfloat16) for x in ([[0.1, -3.0]], [1e30]))
    header = {
        "__metadata__": {"format": "pt"},
        "weight": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]},
        "bias": {"dtype": "BF16", "shape": [1], "data_offsets": [4, 6]},
    }
    (tmp_path / "w.safetensors").write_bytes(safetensors(header, w.tobytes() + b.tobytes()))
    net = nn.Linear(2, 1)
    fp.load_weights(net, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(net.weight, w.astype(np.float32))
    np.testing.assert_array_equal(net.bias, b.astype(np.float32))


def test_the_safetensors_layout_is_the_documented_one(tmp_path):
    net = nn.Linear(1, 1).half()
    content = fp.save_weights(net, tmp_path / "w.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0
    header = json.loads(content[8 : 8 + length])
    assert header == {
        "weight": {"dtype": "F16", "shape": [1, 1], "data_offsets": [0, 2]},
        "bias": {"dtype": "F16", "shape": [1], "data_offsets": [2, 4]},
    }
    assert content[8 + length :] == np.array([net.weight.item(), net.bias.item()], "<f2").tobytes()


# Damage --------------------------------------------------------------------------------------------------------------

WEIGHT = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}

DAMAGED = {
    "w.npz": {
        "empty": b"",
        "foreign": b"\x89PNG\r\n",
        "pickle": pickle.dumps({"weight": [1.0]}),
    },
    "w.safetensors": {
        "empty": b"",
        "no header": struct.pack("<Q", 2**60),
        "not JSON": safetensors(b"weights!"),
        "a list": safetensors([1, 2]),
        "no offsets": safetensors({"weight": {"dtype": "F32", "shape": [1, 1]}}),
        "a foreign dtype": safetensors({"weight": {**WEIGHT, "dtype": "F8_E4M3"}}, b"abcd"),
        "data outside": safetensors({"weight": WEIGHT}, b"ab"),
        "negative offsets": safetensors({"weight": {**WEIGHT, "data_offsets": [-4, 0]}}, b"abcd"),
        "a wrong size": safetensors({"weight": {**WEIGHT, "shape": [2**40, 2**40]}}, b"abcd"),
        "a negative shape": safetensors({"weight": {**WEIGHT, "shape": [-1, -1]}}, b"abcd"),
        "offsets that are no numbers": safetensors({"weight": {**WEIGHT, "data_offsets": ["0", "4"]}}, b"abcd"),
        "deep nesting": safetensors(b"[" * 100_000),
    },
}


@pytest.mark.parametrize(("name", "damage"), [(name, d) for name, damages in DAMAGED.items() for d in damages])
def test_a_damaged_file_is_a_typed_error_and_changes_nothing(tmp_path, name, damage):
    (tmp_path / name).write_bytes(DAMAGED[name][damage])
    net = nn.Linear(1, 1)
    before = values(net)
    with pytest.raises(fp.DataError, match=r"^load_weights: expected a whole .npz or .safetensors file, got .*; save"):
        fp.load_weights(net, tmp_path / name)
    assert values(net) == before


@ENDINGS
def test_a_truncated_file_is_refused_wherever_it_is_cut(tmp_path, ending):
    path = fp.save_weights(nn.Linear(3, 2), tmp_path / f"w{ending}")
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 7):
        path.write_bytes(content[:length])
        with pytest.raises(fp.DataError):
            fp.load_weights(nn.Linear(3, 2), path)


def test_objects_in_an_npz_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "w.npz", weight=np.array([[print]], object), bias=np.ones(1))
    with pytest.raises(fp.DataError, match="allow_pickle=False"):
        fp.load_weights(nn.Linear(1, 1), tmp_path / "w.npz")


def test_an_npz_that_claims_too_much_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weight.npy", b"\0" * 2**22)
    content = bytearray((tmp_path / "w.npz").read_bytes())
    size = struct.pack("<I", 2**22)
    assert content.count(size) == 2  # in the local header and in the directory
    (tmp_path / "w.npz").write_bytes(bytes(content).replace(size, struct.pack("<I", 2**31)))
    with pytest.raises(fp.DataError, match="far more data than it can hold"):
        fp.load_weights(nn.Linear(1, 1), tmp_path / "w.npz")


def test_misuse_names_the_remedy(tmp_path):
    net = nn.Linear(1, 1)
    for call, text in (
        (
            lambda: fp.save_weights(net, tmp_path / "w.pt"),
            "save_weights: expected a name ending in .npz or .safetensors, got 'w.pt'; rename it.",
        ),
        (
            lambda: fp.save_weights(net, tmp_path / "none" / "w.npz"),
            f"save_weights: expected a place that can be written, got {tmp_path}/none/w.npz: No such file or "
            "directory; choose another path.",
        ),
        (
            lambda: fp.load_weights(net, tmp_path / "w.npz"),
            f"load_weights: expected a file that can be read, got {tmp_path}/w.npz: No such file or directory; "
            "check the path.",
        ),
    ):
        with pytest.raises(fp.DataError) as caught:
            call()
        assert str(caught.value) == text
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_refused(tmp_path):
    path = fp.save_weights(nn.Linear(2, 1), tmp_path / "w.npz")
    with pytest.raises(fp.ArgumentError, match=r"missing 0\.weight, 0\.bias; unknown weight, bias"):
        fp.load_weights(nn.Sequential(nn.Linear(2, 1)), path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = fp.save_weights(nn.Linear(1, 1), tmp_path / "w.npz")
    content = path.read_bytes()

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(fp.DataError, match="No space left on device"):
        fp.save_weights(nn.Linear(1, 1), path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]
