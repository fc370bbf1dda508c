"""PyTorch's names at the top level: dtypes, labels, devices."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.autograd.integers import IntegerArray


def test_dtypes_are_formats_and_numpys_integers():
    assert (fp.half, fp.float, fp.double) == (fp.float16, fp.float32, fp.float64)
    assert fp.long is fp.int64 is np.int64
    assert fp.tensor([1.0], dtype=fp.half).dtype == fp.float16


@pytest.mark.parametrize("dtype", [fp.long, fp.int, fp.uint8, fp.bool, np.dtype("int16"), int, bool])
def test_an_integer_dtype_makes_an_array_of_labels(dtype):
    labels = fp.tensor([1, 0, 2.9], dtype=dtype)
    assert type(labels) is IntegerArray
    assert labels.dtype == np.dtype(dtype)
    assert labels.tolist() == np.array([1, 0, 2], dtype).tolist()
    assert fp.tensor(fp.tensor([1.0, 0.0, 2.0]), dtype=dtype).tolist() == labels.tolist()


def test_tensors_convert_to_labels():
    x = fp.tensor([1.7, -1.7])
    assert x.long().tolist() == x.to(fp.long).tolist() == [1, -1]
    with pytest.raises(fp.DataError) as caught:
        fp.tensor([1.0, np.nan]).long()
    assert str(caught.value) == "to: expected finite numbers to make integers of, got nan; mask it first."


def test_labels_convert_to_tensors():
    labels = fp.tensor([1, 2], dtype=fp.long)
    assert labels.float().tolist() == labels.to(fp.float32).tolist() == [1.0, 2.0]


def test_there_is_no_gpu():
    assert not fp.cuda.is_available()
    assert not fp.backends.mps.is_available()
    assert not fp.accelerator.is_available()
    fp.cuda.synchronize()
    assert fp.device("cuda:0").type == "cuda"


def test_set_default_dtype_is_default_precision():
    with fp.default_precision("float32"):
        fp.set_default_dtype(fp.float64)
        assert fp.zeros(1).dtype == fp.float64
    assert fp.zeros(1).dtype == fp.float32


def test_is_tensor_tells_tensors_from_labels():
    assert fp.is_tensor(fp.zeros(1))
    assert not fp.is_tensor(np.zeros(1))
