"""`Recipe`: a network's precision by name, spelt out in columns: weights, compute, accumulate, update, scaling.

Layer 6. To add a recipe, add a line to `_NAMED`; every ``storage/accumulate`` is a recipe without being listed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fpsim.amp.layers import assign_policy
from fpsim.amp.policy import MIXED_POLICIES, NAMED_POLICIES, Policy, policy
from fpsim.amp.quantization import quantize
from fpsim.amp.quantizers import BlockScaling, CurrentScaling, DelayedScaling, Scaling
from fpsim.amp.scale_rule import ScaleRule
from fpsim.amp.scaler import GradScaler, StaticScaler
from fpsim.errors import ArgumentError, FormatError, PrecisionError, expected, nearest
from fpsim.formats import NAMED, Format, float32
from fpsim.nn import Linear
from fpsim.precision import Precision

__all__ = ["RECIPES", "Recipe", "recipe"]


@dataclass(frozen=True)
class Recipe:
    """One way to train a network: its policy, how updates round, and what differs in fully connected layers.

    >>> import fpsim as fp
    >>> for column, text in fp.amp.recipe("mixed_float16").columns().items():
    ...     print(f"{column:11}{text}")
    weights    float32
    compute    float16
    accumulate float32
    update     float32
    scaling    dynamic, from 32768
    >>> fp.amp.recipe("float16_stochastic").update
    'float16, rounded stochastically'
    """

    name: str
    policy: Policy
    #: of fully connected layers, where they have another
    linear: Policy | None = None
    update_rounding: str | None = None
    #: of every sum; None: the accumulators' own
    order: str | None = None
    #: how the operands of fully connected layers are quantised, and the order of their sums
    quantization: Scaling | None = None
    linear_order: str | None = None

    # The columns -----------------------------------------------------------------------------------------------------

    @property
    def weights(self) -> str:
        """Format in which the weights of the forward pass are kept."""
        return self._column(lambda p: p.param.name)

    @property
    def compute(self) -> str:
        """Format in which the layers compute and activations are stored."""
        text = self._column(lambda p: f"{p.compute.name} by op" if p.autocast else p.compute.name)
        return text if self.quantization is None else f"{text}, fc {self.quantization.in_words}"

    @property
    def accumulate(self) -> str:
        """Format in which sums are accumulated, and their order where one was chosen."""
        text = self._column(lambda p: p.accumulate.name) + (f", {self.order}" if self.order else "")
        return text + (f", fc {self.linear_order}" if self.linear_order else "")

    @property
    def update(self) -> str:
        """Format of the weights that the optimizer updates."""
        text = self._column(lambda p: p.param.name if p.masters is None else f"{p.masters.name} masters")
        how = {None: "", "stochastic": ", rounded stochastically"}
        return text + how.get(self.update_rounding, f", rounded {self.update_rounding}")

    @property
    def scaling(self) -> str:
        """How the loss is scaled."""
        return _scaling(self.scaler())

    def columns(self, scale: float | str | None = None) -> dict[str, str]:
        """The recipe spelt out, `scale` in place of its own: ``weights compute accumulate update scaling``."""
        texts = {name: getattr(self, name) for name in ("weights", "compute", "accumulate", "update")}
        return {**texts, "scaling": _scaling(self.scaler(scale))}

    def _column(self, of: Any) -> str:
        """The policy's text, or both where fully connected layers have another."""
        text = of(self.policy)
        if self.linear is None or of(self.linear) == text:
            return str(text)
        return f"conv {text}, fc {of(self.linear)}"

    # Carrying it out -------------------------------------------------------------------------------------------------

    def apply(self, net: Any, optimizer: Any = None) -> Any:
        """Bring a network, and the optimizer of its parameters, into the recipe's formats; gives the network.

        Raises
        ------
        ArgumentError
            Without an optimizer where the recipe says how updates are rounded.
        """
        if optimizer is None and self.update_rounding is not None:
            got = f"none for {self.name!r}"
            raise ArgumentError(
                expected("apply", "the optimizer, whose updates the recipe rounds", got, "pass optimizer=")
            )
        assign_policy(
            net,
            self.policy,
            optimizer,
            linear=self.linear,
            update_rounding=self.update_rounding,
            order=self.order,
            name=self.name,
        )
        if self.quantization is not None:
            quantize(net, self.quantization)
        if self.linear_order is not None:
            for module in net.modules():
                if isinstance(module, Linear) and module.precision is not None:
                    module.precision = replace(module.precision, order=self.linear_order)
        return net

    @property
    def can_check(self) -> bool:
        """Whether gradients can be checked and unscaled without loss: the weights updated have float32's range."""
        updated = (p.masters or p.param for p in (self.policy, self.linear or self.policy))
        return all(fmt.emin <= float32.emin for fmt in updated)

    def scaler(self, scale: float | str | None = None) -> GradScaler:
        """A new loss scaler as the recipe asks for; a disabled one where the loss is not scaled.

        With `scale` another: ``"dynamic"`` or a preset's name, or a number, a constant scale. Unlike `StaticScaler` it
        skips steps that are not finite, if the recipe's weights are wide enough to check their gradients.

        >>> import fpsim as fp
        >>> fp.amp.recipe("mixed_float16").scaler(1024.0).rule.check, fp.amp.recipe("float16").scaler(1024.0).rule.check
        ('scaled', 'never')
        """
        if scale is None:
            return self.policy.scaler()
        if isinstance(scale, str):
            own = self.policy.scaling if isinstance(self.policy.scaling, str) else "torch"
            return GradScaler.preset(own if scale == "dynamic" else scale)
        constant = StaticScaler(scale)  # checks the number
        return GradScaler(rule=ScaleRule(scale, floor=scale, ceiling=scale)) if self.can_check else constant


def _scaling(scaler: GradScaler) -> str:
    """In words."""
    rule = scaler.rule
    if not scaler.is_enabled():
        return "none"
    constant = rule.check == "never" or rule.floor == rule.ceiling
    return f"{'constant' if constant else 'dynamic, from'} {scaler.get_scale():g}"


def _pure(precision: Any) -> Policy:
    """Everything in one storage format, with its accumulator (a format alone accumulates in itself)."""
    return policy(Precision.parse(precision))


def _quantised(name: str, scaling: Scaling, order: str | None = None) -> Recipe:
    """float32 but for the operands of fully connected layers, whose sums may have an order of their own."""
    return Recipe(name, _pure("float32"), quantization=scaling, linear_order=order)


_NAMED: dict[str, Recipe] = {
    "conv16_fc32": Recipe("conv16_fc32", _pure("float16/float32"), linear=_pure("float32")),
    "conv32_fc16": Recipe("conv32_fc16", _pure("float32"), linear=_pure("float16/float32")),
    **{name: Recipe(name, NAMED_POLICIES[name]) for name in MIXED_POLICIES},
    # weights, and activations between layers, float32, as Transformer Engine's layers have them outside of autocast
    "fp8_current": _quantised("fp8_current", CurrentScaling()),
    "fp8_current_14bit": _quantised("fp8_current_14bit", CurrentScaling(), "blocked:128@e8m13"),
    "fp8_delayed": _quantised("fp8_delayed", DelayedScaling()),
    "mxfp8": _quantised("mxfp8", BlockScaling("mxfp8_e4m3")),
    "mxfp6": _quantised("mxfp6", BlockScaling("mxfp6_e3m2")),
    "mxfp4": _quantised("mxfp4", BlockScaling("mxfp4_e2m1")),
}

#: Endings of a pure recipe's name: the optimizer keeps a float32 copy of the weights, or rounds updates stochastically.
_ENDINGS: dict[str, dict[str, str]] = {
    "_masters": {"masters": "float32"},
    "_stochastic": {"update_rounding": "stochastic"},
}

#: What an error suggests where no name is near.
_EXAMPLES = ("float32", "float16/float32", "mixed_float16")

#: The names that are listed; any other ``storage/accumulate`` works as well, with or without an ending.
RECIPES: tuple[str, ...] = (
    *(fmt.name for fmt in NAMED if fmt.specials != "scale"),
    "float16/float32", "bfloat16/float32", "float8_e4m3fn/float32", "float8_e5m2/float32",
    *(name + ending for name in ("float16", "bfloat16") for ending in _ENDINGS),
    *_NAMED,
)  # fmt: skip


def recipe(like: Any, *, order: str | None = None) -> Recipe:
    """A recipe by name, or made from a policy.

    Parameters
    ----------
    like : str, Recipe, Policy or format
        A format is pure: ``"float16"`` stores, accumulates and updates in float16. ``"float16/float32"`` accumulates
        in float32. Either may end in ``_masters`` (the optimizer updates float32 copies) or ``_stochastic`` (updates
        are rounded stochastically). ``conv16_fc32`` and ``conv32_fc16`` keep convolutions and fully connected layers
        apart. The policies: ``mixed_float16 mixed_bfloat16 O0 O1 O2 O3`` and jmp's ``"p=f32,c=f16,o=f32"``.
        ``fp8_current fp8_delayed mxfp8 mxfp6 mxfp4`` quantise the operands of fully connected layers (see
        `fp.amp.quantize`) in networks of float32; ``fp8_current_14bit`` sums them in 14 bits, promoted every 128.
    order : str, optional
        Of every sum: ``sequential``, ``blocked:64`` ...

    Raises
    ------
    ArgumentError
        An unknown name; the nearest ones are listed.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.amp.recipe("float16").accumulate, fp.amp.recipe("float16/float32").accumulate
    ('float16', 'float32')
    >>> fp.amp.recipe("conv16_fc32").weights
    'conv float16, fc float32'
    """
    if isinstance(like, Recipe):
        made = like
    elif isinstance(like, Policy):
        made = Recipe(str(like), like)
    elif isinstance(like, str):
        made = _by_name(like.strip())
    else:
        made = Recipe(str(Precision.parse(like)), _pure(like))
    if order is None:
        return made
    replace(made.policy.precision, order=order)  # checks it
    return replace(made, order=order)


def _by_name(name: str) -> Recipe:
    if name in _NAMED:
        return _NAMED[name]
    if "=" in name:
        return Recipe(name, policy(name))
    for ending, changes in _ENDINGS.items():
        if name.endswith(ending):
            pure = _by_name_of_formats(name, name.removesuffix(ending))
            masters = Format(changes["masters"]) if "masters" in changes else None
            return Recipe(name, replace(pure, masters=masters), update_rounding=changes.get("update_rounding"))
    return Recipe(name, _by_name_of_formats(name, name))


def _by_name_of_formats(name: str, formats: str) -> Policy:
    try:
        return _pure(formats)
    except (FormatError, PrecisionError):
        near = nearest(name, RECIPES, otherwise=_EXAMPLES)
        remedy = f"did you mean {near}?"
        raise ArgumentError(expected("recipe", "a recipe's name", repr(name), remedy)) from None
