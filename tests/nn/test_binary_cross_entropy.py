"""Binary cross entropy of probabilities: PyTorch's numbers at the ends, and its refusal under autocast."""

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn.functional as F


def test_its_logarithms_end_at_minus_100_and_its_gradient_divides_by_at_least_1e_12():
    p = fp.tensor([0.25, 1.0, 1.0, 0.0], requires_grad=True)
    loss = F.binary_cross_entropy(p, [1.0, 1.0, 0.0, 1.0], reduction="none")
    assert loss.tolist() == [float(np.float32(-np.log(0.25))), 0.0, 100.0, 100.0]
    loss.sum().backward()
    assert p.grad.tolist() == [-4.0, 0.0, float(np.float32(1e12)), -float(np.float32(1e12))]  # as PyTorch 2.13


def test_it_is_the_logits_form_where_that_needs_no_care():
    x, y = fp.tensor([-2.0, 0.5, 3.0], dtype="float64"), np.array([0.0, 1.0, 1.0])
    both = F.binary_cross_entropy(x.sigmoid(), y).item(), F.binary_cross_entropy_with_logits(x, y).item()
    assert both[0] == pytest.approx(both[1], rel=1e-12)


def test_a_loss_module_holds_its_settings():
    loss = fp.nn.BCELoss(weight=fp.tensor([2.0]), reduction="sum")
    assert loss(fp.tensor([0.5]), fp.tensor([1.0])).item() == float(np.float32(2 * np.log(2)))


def test_autocast_refuses_it_unless_it_is_switched_off_inside():
    p, y = fp.tensor([0.5]), fp.tensor([1.0])
    with fp.autocast("float16"):
        with pytest.raises(fp.PrecisionError) as error:
            F.binary_cross_entropy(p, y)
        with fp.autocast(enabled=False):
            assert F.binary_cross_entropy(p, y).item() == float(np.float32(np.log(2)))
    assert str(error.value) == (
        "binary_cross_entropy: expected probabilities that no autocast chose, got autocast; "
        "use binary_cross_entropy_with_logits, or leave autocast for it (enabled=False)."
    )


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: F.binary_cross_entropy(fp.tensor([1.5]), [1.0]),
            fp.DataError,
            "binary_cross_entropy: expected probabilities from 0 to 1, got input from 1.5 to 1.5; apply sigmoid first.",
        ),
        (
            lambda: F.binary_cross_entropy(fp.tensor([0.5]), [1.0, 0.0]),
            fp.ShapeError,
            "binary_cross_entropy: expected a target of the input's shape, got input.shape=(1,), target.shape=(2,); "
            "reshape one.",
        ),
    ],
)
def test_what_is_no_probability_is_refused(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text
