"""`evaluate`: a trained network in other formats: how often it is right, and where it parts from float32.

Layer 8. Runs copies in evaluation mode; the network itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fpsim import amp
from fpsim.autograd import Tensor, no_grad, tensor, using
from fpsim.errors import ArgumentError, ArgumentTypeError, DataError, expected
from fpsim.experiments.evaluation import Changed, Evaluation, InFormat, Largest
from fpsim.precision import Precision
from fpsim.rounding.kernel import Array

__all__ = ["FORMATS", "evaluate"]

#: What a network is evaluated in unless told otherwise.
FORMATS = (
    "float16/float32", "float16", "bfloat16/float32", "bfloat16", "float8_e4m3fn/float32", "float8_e5m2/float32",
)  # fmt: skip

#: The largest differences that are listed a format.
LISTED = 5


def evaluate(
    net: Any,
    data: Any,
    precision: Any = FORMATS,
    *,
    order: str | None = None,
    batch: int = 120,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Run a trained network in one precision, or several, and compare with float32.

    Parameters
    ----------
    net : nn.Module
        A classifier: one output a class, of each sample or, of a language model, at each position ``(n, t, classes)``,
        which then counts as a sample. Stays as it is; masters' values are used where there are masters.
    data : (x, y), images as `fp.data.digits` gives them, or x alone
        Of images the test part. Without labels there is no accuracy.
    precision : format, ``"storage/accumulate"``, recipe, policy, dict of patterns, or a list of these
        See `fp.amp.apply`: weights are rounded once into it, activations and sums at every step.
    order : str, optional
        Of all sums: ``sequential`` or ``blocked:64`` make the outputs the same on every machine.
    batch : int
        Samples run at once; it changes nothing but speed and memory.
    progress : callable, optional
        Called as ``progress(name, done, samples)``.

    Returns
    -------
    Evaluation
        ``table() to_dict() to_json() plot()``; ``report["float16"].agreement``; float32's own row comes first.

    Raises
    ------
    DataError
        No samples, labels that do not fit them.
    ArgumentError, ArgumentTypeError
        What is not a network, or does not give one output a class; an unknown precision.

    Notes
    -----
    Precision: outputs are compared as they are stored, ``y - y32`` exact in float64. A sample whose outputs have a NaN
    has no class: it is never right and never agrees.

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> net = fp.nn.Linear(2, 2)
    >>> _ = net.load_state_dict({"weight": np.array([[1.0, 0.0], [1.0, 2.0**-12]]), "bias": np.zeros(2)})
    >>> report = fp.evaluate(net, (np.array([[1.0, 1.0]]), np.array([1])), "float16")
    >>> report["float32"].accuracy, report["float16"].accuracy, report["float16"].changed[0].sample
    (1.0, 0.0, 0)
    """
    x, y = _samples(data)
    if not isinstance(batch, int | np.integer) or isinstance(batch, bool) or batch < 1:
        got = f"batch={batch!r}"
        raise ArgumentError(expected("evaluate", "a batch of at least 1", got, "use an int, such as 120"))
    listed = list(precision) if isinstance(precision, list | tuple) else [precision]
    if not listed:
        raise ArgumentError(expected("evaluate", "at least one precision", "none", "name one, such as 'float16'"))
    with using(observers=(), autocast=None, precision=None, module=""):
        reference, nbytes = _outputs(net, "float32", x, order, batch, progress)
        _check_outputs(reference, x, y)
        reference, y = _by_place(reference), None if y is None else y.reshape(-1)
        found = [_compared("float32", reference, reference, y, nbytes)]
        names = {"float32"}
        for how in listed:
            name = _named(how)
            if name not in names:
                names.add(name)
                out, nbytes = _outputs(net, how, x, order, batch, progress)
                found.append(_compared(name, _by_place(out), reference, y, nbytes))
    return Evaluation(type(net).__name__, len(reference), reference.shape[1], tuple(found), y is not None)


def _by_place(out: Array) -> Array:
    """A row for each sample, or for each position of each sequence."""
    return out.reshape(-1, out.shape[-1])


def _named(how: Any) -> str:
    if isinstance(how, Mapping):
        return ", ".join(f"{pattern}: {like}" for pattern, like in how.items())
    return str(how) if isinstance(how, Precision) else amp.recipe(how).name


def _outputs(net: Any, how: Any, x: Array, order: str | None, batch: int, progress: Any) -> tuple[Array, int]:
    """All outputs as float64, which holds them, and the bytes of the weights."""
    wanted = how if isinstance(how, Mapping | Precision) else amp.recipe(how, order=order)
    copied, _ = amp.in_formats(net, wanted, op="evaluate")
    copied.eval()
    parts = []
    with no_grad():
        for start in range(0, len(x), batch):
            part = x[start : start + batch]
            out = copied(tensor(part) if part.dtype.kind == "f" else part)
            if not isinstance(out, Tensor):
                got = type(out).__name__
                raise ArgumentTypeError(expected("evaluate", "a network that gives a tensor", got, "wrap it in one"))
            parts.append(out._data.astype(np.float64))
            if progress is not None:
                progress(_named(how), min(start + batch, len(x)), len(x))
    return np.concatenate(parts), sum(p.nbytes for p in copied.parameters())


def _samples(data: Any) -> tuple[Array, Array | None]:
    """Inputs and labels, the test part of a data set."""
    if isinstance(data, tuple | list):
        if len(data) not in (2, 4):
            got = f"{len(data)} parts"
            raise DataError(expected("evaluate", "(x, y), or images to train and to test", got, "pass (x, y)"))
        x, y = (np.asarray(part) for part in data[-2:])
        a_position = x.dtype.kind in "iu" and y.shape == x.shape  # of sequences of tokens
        if not (a_position or y.shape == x.shape[:1]) or y.dtype.kind not in "iu":
            got = f"x.shape={x.shape}, y.shape={y.shape}, y.dtype={y.dtype}"
            raise DataError(expected("evaluate", "one integer label a sample", got, "pass (x, y)"))
    elif isinstance(data, Tensor | np.ndarray):
        x, y = np.asarray(data), None
    else:
        got = type(data).__name__
        raise DataError(expected("evaluate", "(x, y), images, or an array", got, "see fp.data"))
    if x.ndim < 1 or len(x) == 0:
        raise DataError(expected("evaluate", "at least one sample", f"x.shape={x.shape}", "pass some data"))
    return x, y


def _check_outputs(out: Array, x: Array, y: Array | None) -> None:
    if out.ndim < 2 or out.shape[-1] < 2 or out.ndim > (3 if x.dtype.kind in "iu" and x.ndim == 2 else 2):
        got = f"outputs of shape {out.shape}"
        raise ArgumentError(expected("evaluate", "outputs (n, classes), two classes at least", got, "flatten them"))
    if y is not None and y.shape != out.shape[:-1]:
        got = f"y.shape={y.shape}, outputs of shape {out.shape}"
        raise DataError(expected("evaluate", "a label for each row of outputs", got, "pass (x, y) of one shape"))
    if y is not None and not (0 <= y.min() and y.max() < out.shape[-1]):
        got = f"labels from {y.min()} to {y.max()}"
        raise DataError(expected("evaluate", f"labels from 0 to {out.shape[-1] - 1}", got, "number the classes from 0"))


# Comparing -----------------------------------------------------------------------------------------------------------


def _classes(out: Array) -> Array:
    """The largest output's class, the first of equals; -1 where one of them is NaN."""
    return np.where(
        np.isnan(out).any(axis=1), -1, np.argmax(np.nan_to_num(out, nan=0.0, posinf=np.inf, neginf=-np.inf), 1)
    )


def _compared(name: str, out: Array, reference: Array, y: Array | None, nbytes: int) -> InFormat:
    own, plain = _classes(out), _classes(reference)
    agree = (own == plain) & (own >= 0)
    finite = np.isfinite(out) & np.isfinite(reference)
    with np.errstate(all="ignore"):
        apart = np.where(finite, np.abs(out - reference), np.where(out == reference, 0.0, np.inf))
    places = np.argsort(-apart, axis=None, kind="stable")[:LISTED]
    largest = [
        Largest(int(i), int(c), float(reference[i, c]), float(out[i, c]))
        for i, c in zip(*np.unravel_index(places, out.shape), strict=True)
        if apart[i, c] > 0
    ]
    size = float(np.linalg.norm(reference))
    changed = [
        Changed(int(i), None if y is None else int(y[i]), int(plain[i]), int(own[i]), _margin(reference[i]))
        for i in np.flatnonzero(~agree)
    ]
    groups = plain if y is None else y
    per_class = {
        int(c): {
            "samples": int((groups == c).sum()),
            "accuracy": None if y is None else float((own == y)[groups == c].mean()),
            "agreement": float(agree[groups == c].mean()),
            "largest": float(apart[groups == c].max()),
        }
        for c in np.unique(groups)
    }
    return InFormat(
        name=name,
        accuracy=None if y is None else float((own == y).mean()),
        loss=None if y is None else _loss(out, y),
        agreement=float(agree.mean()),
        deviation=float(np.linalg.norm(apart)) / size if size else 0.0,
        not_finite=int((~np.isfinite(out)).any(axis=1).sum()),
        nbytes=nbytes,
        largest=tuple(largest),
        changed=tuple(changed),
        per_class=per_class,
    )


def _margin(outputs: Array) -> float:
    """By how much the largest output leads."""
    first, second = np.sort(outputs)[[-1, -2]]
    return float(first - second)


def _loss(out: Array, y: Array) -> float:
    """Mean cross entropy of the outputs as logits, in float64: formats are compared, not the loss's own rounding."""
    with np.errstate(all="ignore"):
        shifted = out - out.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]))
