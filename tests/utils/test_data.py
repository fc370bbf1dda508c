"""PyTorch's data loader path."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.utils.data import DataLoader, Dataset, TensorDataset


def twelve():
    return TensorDataset(fp.tensor(np.arange(24.0).reshape(12, 2)), np.arange(12))


def test_batches_are_tensors_and_label_arrays():
    x, y = next(iter(DataLoader(twelve(), batch_size=5)))
    assert isinstance(x, fp.Tensor)
    assert (x.shape, y.tolist(), y.dtype) == ((5, 2), [0, 1, 2, 3, 4], np.int64)
    assert y.to("cuda").view_as(y) is not None


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [5, 5, 2]), (True, [5, 5])])
def test_the_last_batch_is_short_or_dropped(drop_last, sizes):
    loader = DataLoader(twelve(), batch_size=5, drop_last=drop_last)
    assert [len(y) for _, y in loader] == sizes
    assert len(loader) == len(sizes)


def epoch(loader):
    return [int(i) for _, y in loader for i in y]


def test_shuffling_visits_each_sample_once_anew_each_epoch():
    loader = DataLoader(twelve(), batch_size=5, shuffle=True, seed=1)
    first, second = epoch(loader), epoch(loader)
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    again = DataLoader(twelve(), batch_size=5, shuffle=True, seed=1)
    assert [epoch(again), epoch(again)] == [first, second]


def test_the_order_comes_from_the_generator_or_the_contexts():
    with fp.seed(4):
        one = epoch(DataLoader(twelve(), shuffle=True))
    other = epoch(DataLoader(twelve(), shuffle=True, generator=np.random.default_rng(4)))
    assert one == other


class Squares(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return fp.tensor([float(i * i)]), i


def test_any_data_set_of_tuples_is_stacked():
    (x, y), *_ = DataLoader(Squares(), batch_size=3)
    assert (x.tolist(), y.tolist()) == ([[0.0], [1.0], [4.0]], [0, 1, 2])


def test_ones_own_collate_function_makes_the_batch():
    assert list(DataLoader(range(5), batch_size=2, collate_fn=sum)) == [1, 5, 4]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: TensorDataset(np.ones(2), np.arange(3)),
            fp.ShapeError,
            "TensorDataset: expected tensors of one length, got 2, 3; cut the longer ones.",
        ),
        (
            lambda: TensorDataset(),
            fp.ShapeError,
            "TensorDataset: expected tensors of one length, got none; cut the longer ones.",
        ),
        (
            lambda: DataLoader([]),
            fp.ArgumentError,
            "DataLoader: expected at least one sample, got an empty data set; check the data.",
        ),
        (
            lambda: DataLoader(twelve(), sampler=[1, 2]),
            fp.ArgumentError,
            "DataLoader: expected shuffle=, got a sampler; order the data set itself.",
        ),
    ],
)
def test_misuse_names_the_remedy(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text
