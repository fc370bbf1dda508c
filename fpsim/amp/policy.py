"""`Policy`: in which formats a network keeps, computes and returns; Keras's, jmp's and Apex's spellings of it.

Layer 6. Frozen data and its parsing; `layers` carries a policy out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from fpsim.amp.scale_rule import PRESETS
from fpsim.amp.scaler import GradScaler, StaticScaler
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, FormatError, expected, nearest
from fpsim.formats import Format, float32
from fpsim.precision import Precision

__all__ = ["MIXED_POLICIES", "NAMED_POLICIES", "Policy", "policy"]

#: What batch normalisation does in a network of a narrow format.
BATCHNORM = ("policy", "wide_compute", "wide")

OPTIONAL = ("grad", "state", "masters")


def wider(a: Format, b: Format) -> Format:
    """`a` where it holds `b`, else `b`."""
    return a if a.holds(b) else b


@dataclass(frozen=True)
class Policy:
    """The formats of a network: one frozen value for every mixed-precision language.

    Parameters
    ----------
    param : format
        Of the parameters, hence of their update unless there are `masters`.
    compute : format, optional
        In which the layers compute; `param` unless given.
    output : format, optional
        To which what leaves the network is cast, and in which its loss is computed; `compute` unless given.
    accumulate : format, optional
        Of all sums; float32 unless given (or `compute` where float32 does not hold it).
    grad, state : format, optional
        Of the parameters' gradients and of the optimizer's state; the parameters' (or masters') unless given.
    masters : format, optional
        Of copies of the parameters that the optimizer updates in their place.
    batchnorm : str
        ``policy``: as every layer; ``wide_compute``: computes in at least float32 (Keras); ``wide``: its parameters
        are kept in at least float32 too (Apex's keep_batchnorm_fp32).
    autocast : bool
        The network runs under `fp.amp.autocast` of `compute` (Apex's O1) instead of being cast.
    scaling : float or str
        A constant loss scale (1: none), or the preset of a dynamic one: ``torch apex keras tf_keras jmp fp16_utils``;
        ``dynamic`` is torch's.

    Examples
    --------
    >>> import fpsim as fp
    >>> p = fp.amp.Policy(param="float32", compute="float16", output="float32")
    >>> str(p)
    'params=float32,compute=float16,output=float32'
    >>> fp.amp.policy(str(p)) == p
    True
    >>> p.accumulate.name, p.precision
    ('float32', Precision('float16/float32'))
    """

    param: Format = float32
    compute: Format = None  # type: ignore[assignment]  # always a Format after __post_init__, like the next two
    output: Format = None  # type: ignore[assignment]
    accumulate: Format = None  # type: ignore[assignment]
    grad: Format | None = None
    state: Format | None = None
    masters: Format | None = None
    batchnorm: str = "policy"
    autocast: bool = False
    scaling: float | str = 1.0

    def __post_init__(self) -> None:
        param = _format("param", self.param) or float32
        compute = _format("compute", self.compute) or param
        output = _format("output", self.output) or compute
        accumulate = _format("accumulate", self.accumulate) or wider(float32, compute)
        given: dict[str, Format | None] = {
            "param": param,
            "compute": compute,
            "output": output,
            "accumulate": accumulate,
        }
        for name in OPTIONAL:
            given[name] = _format(name, getattr(self, name))
        for name, value in given.items():
            object.__setattr__(self, name, value)
        masters = given["masters"]
        if masters is not None and not masters.holds(param):
            got = f"masters={masters.name} for params={param.name}"
            raise ArgumentError(expected("Policy", "masters that hold the parameters", got, "leave masters out"))
        if self.batchnorm not in BATCHNORM:
            got = f"batchnorm={self.batchnorm!r}"
            raise ArgumentError(expected("Policy", f"batchnorm in {BATCHNORM}", got, "choose one"))
        if self.autocast not in (True, False):
            got = f"autocast={self.autocast!r}"
            raise ArgumentError(expected("Policy", "autocast True or False", got, "choose one"))
        object.__setattr__(self, "scaling", _scaling(self.scaling))

    # What it means ---------------------------------------------------------------------------------------------------

    @property
    def precision(self) -> Precision:
        """In which the layers compute."""
        return Precision(self.compute, self.accumulate)

    @property
    def param_precision(self) -> Precision:
        """Of the parameters, with the format of their gradients."""
        return Precision(self.param, wider(self.accumulate, self.param), grad=self.grad)

    def scaler(self) -> GradScaler:
        """A new scaler: dynamic, constant, or disabled where the scale is 1.

        >>> import fpsim as fp
        >>> fp.amp.policy("O2").scaler(), fp.amp.policy("O3").scaler()
        (GradScaler(scale=65536), StaticScaler(enabled=False))
        """
        if isinstance(self.scaling, str):
            return GradScaler.preset(self.scaling)
        return StaticScaler(self.scaling, enabled=self.scaling != 1)

    def cast_to_param(self, tree: Any) -> Any:
        """A tree's tensors in the parameters' precision (jmp's name, like the next two).

        >>> import fpsim as fp
        >>> p = fp.amp.policy("p=f32,c=f16,o=f32")
        >>> [x.precision for x in p.cast_to_compute([fp.ones(2), fp.zeros(1)])]
        [Precision('float16/float32'), Precision('float16/float32')]
        """
        return _cast(tree, self.param_precision)

    def cast_to_compute(self, tree: Any) -> Any:
        """A tree's tensors in the precision of the computation."""
        return _cast(tree, self.precision)

    def cast_to_output(self, tree: Any) -> Any:
        """A tree's tensors in the precision of the output."""
        return _cast(tree, Precision(self.output, wider(self.accumulate, self.output)))

    def with_output_dtype(self, output_dtype: Any) -> Policy:
        """The same with another output format (jmp's name)."""
        return replace(self, output=output_dtype)

    # Text ------------------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        """What `policy` reads back: the three formats, then whatever differs from their defaults."""
        parts = [f"params={self.param}", f"compute={self.compute}", f"output={self.output}"]
        plain = Policy(self.param, self.compute, self.output)
        for f in fields(self)[3:]:
            value = getattr(self, f.name)
            if value != getattr(plain, f.name):
                parts.append(f"{f.name}={value!r}" if isinstance(value, float) else f"{f.name}={value}")
        return ",".join(parts)

    def __repr__(self) -> str:
        return f"policy({str(self)!r})"


def _cast(tree: Any, precision: Precision) -> Any:
    """Tensors in dicts, lists and tuples in another precision; anything else stays."""
    if isinstance(tree, dict):
        return {key: _cast(part, precision) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([_cast(part, precision) for part in tree])
    return tree.to(precision) if isinstance(tree, Tensor) else tree


def _format(name: str, value: Any) -> Format | None:
    if value is None:
        return None
    fmt = Format("float32") if value == "full" else Format(value)
    if fmt.specials == "scale":
        raise FormatError(expected("Policy", "formats with arithmetic", f"{name}={fmt.name}", "it codes scales only"))
    return fmt


def _scaling(value: Any) -> float | str:
    if isinstance(value, str):
        if value == "dynamic":
            return "torch"
        if value in PRESETS:
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        StaticScaler(value)  # checks the number
        return float(value)
    near = nearest(value, ["dynamic", *PRESETS], 3)
    got = f"scaling={value!r}"
    raise ArgumentError(expected("Policy", "a number or a preset", got, f"did you mean {near}?"))


_KEYS = {"params": "param", "p": "param", "c": "compute", "o": "output"}
_KEYS |= {f.name: f.name for f in fields(Policy)}


def _from_fields(text: str) -> Policy:
    """``key=value`` pairs between commas."""
    given: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        name = _KEYS.get(key)
        if name is None or not equals or name in given:
            got = f"{part.strip()!r} in {text!r}"
            raise ArgumentError(
                expected("policy", "different fields as key=value", got, f"the keys are {', '.join(_KEYS)}")
            )
        given[name] = _value(name, value)
    return Policy(**given)


def _value(name: str, value: str) -> Any:
    if name == "autocast":
        return {"True": True, "False": False}.get(value, value)
    if name == "scaling":
        try:
            return float(value)
        except ValueError:
            return value
    return None if value == "None" else value


#: Keras's and Apex's policies by name. Under a mixed policy Keras computes the loss in float32, so what leaves the
#: network is cast to it, exactly.
NAMED_POLICIES: dict[str, Policy] = {
    name: _from_fields(text)
    for name, text in {
        "mixed_float16": "params=float32,compute=float16,output=float32,batchnorm=wide_compute,scaling=keras",
        "mixed_bfloat16": "params=float32,compute=bfloat16,output=float32,batchnorm=wide_compute",
        "float16": "params=float16,batchnorm=wide_compute",
        "bfloat16": "params=bfloat16,batchnorm=wide_compute",
        "float32": "params=float32",
        "float64": "params=float64",
        "O0": "params=float32",
        "O1": "params=float32,compute=float16,output=float32,autocast=True,scaling=apex",
        "O2": "params=float16,output=float32,masters=float32,batchnorm=wide,scaling=apex",
        "O3": "params=float16,output=float32",
    }.items()
}

#: The names that are not formats' names too.
MIXED_POLICIES = tuple(name for name in NAMED_POLICIES if name.startswith(("mixed", "O")))


def policy(like: Any) -> Policy:
    """A policy from any of the languages, or as it is.

    Parameters
    ----------
    like : str, Policy, Precision or format
        Keras: ``"mixed_float16" "mixed_bfloat16" "float16" "bfloat16" "float32" "float64"``. Apex: ``"O0"`` to
        ``"O3"``. jmp: ``"params=float32,compute=float16,output=float32"`` or ``"p=f32,c=f16,o=f32"``, with jmp's
        defaults (params float32, compute = params, output = compute) and any other field of `Policy` by name; without
        ``=`` one format for all. ``"storage/accumulate"``: the storage for all, with that accumulator.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.amp.policy("p=f32,c=f16,o=f32")
    policy('params=float32,compute=float16,output=float32')
    >>> fp.amp.policy("O2")
    policy('params=float16,compute=float16,output=float32,masters=float32,batchnorm=wide,scaling=apex')
    """
    if isinstance(like, Policy):
        return like
    if isinstance(like, Precision):
        plain = Precision(like.storage, like.accumulate, grad=like.grad)
        if like != plain:
            remedy = "pass the Precision itself to fp.amp.apply"
            raise ArgumentError(expected("policy", "a Precision of formats alone", repr(like), remedy))
        return Policy(like.storage, accumulate=like.accumulate, grad=like.grad)
    if isinstance(like, str):
        text = like.strip()
        if text in NAMED_POLICIES:
            return NAMED_POLICIES[text]
        if "=" in text:
            return _from_fields(text)
        if "/" in text:
            return policy(Precision.parse(text))
    try:
        return Policy(like)
    except FormatError:
        names = [*NAMED_POLICIES, "half", "params=...,compute=...,output=..."]
        near = nearest(like, names, 3)
        remedy = f"did you mean {near}?"
        raise ArgumentError(expected("policy", "a policy's name, fields or a format", repr(like), remedy)) from None
