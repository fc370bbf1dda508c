"""Apex's opt levels with its overrides, and which of them contradict each other.

Layer 6. Turns `apex.amp.initialize`'s arguments into a `Policy`; carries nothing out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fpsim.amp.policy import NAMED_POLICIES, Policy
from fpsim.errors import ArgumentError, ArgumentTypeError, expected
from fpsim.formats import Format, float32

__all__ = ["OPT_LEVELS", "apex"]

OPT_LEVELS = ("O0", "O1", "O2", "O3")


def apex(
    opt_level: str = "O1",
    cast_model_type: Any = None,
    patch_torch_functions: bool | None = None,
    keep_batchnorm_fp32: bool | str | None = None,
    master_weights: bool | None = None,
    loss_scale: float | str | None = None,
) -> Policy:
    """The policy of an Apex opt level, with the overrides that ``apex.amp.initialize`` takes.

    Parameters
    ----------
    opt_level : str
        ``O0`` (float32), ``O1`` (autocast by PyTorch's lists), ``O2`` (float16 with float32 masters and batch
        normalisation) or ``O3`` (float16).
    cast_model_type : format, optional
        In place of the level's, of parameters and computation; ``O1`` casts no model.
    patch_torch_functions : bool, optional
        ``O1`` patches, the others do not; anything else is refused.
    keep_batchnorm_fp32 : bool or "True" or "False", optional
        Batch normalisation in at least float32, parameters too; ``O1`` runs it by its list, so it takes None only.
    master_weights : bool, optional
        Whether the optimizer updates float32 copies; ``O1`` keeps float32 weights, so it takes None only.
    loss_scale : float or "dynamic", optional
        A constant scale, which never checks for inf, or Apex's dynamic one.

    Raises
    ------
    ArgumentError
        An unknown level; overrides that contradict the level.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.amp.apex("O2", loss_scale=128.0, keep_batchnorm_fp32=False)
    policy('params=float16,compute=float16,output=float32,masters=float32,scaling=128.0')
    """
    if opt_level not in OPT_LEVELS:
        hint = ": with the letter O" if str(opt_level)[:1] == "0" else ""
        got = f"opt_level={opt_level!r}"
        raise ArgumentError(expected("apex", f"an opt level of {', '.join(OPT_LEVELS)}", got, f"choose one{hint}"))
    _refuse_contradictions(opt_level, cast_model_type, patch_torch_functions, keep_batchnorm_fp32, master_weights)
    changes: dict[str, Any] = {}
    if cast_model_type not in (None, False) and opt_level != "O1":
        cast = Format(cast_model_type)
        changes.update(param=cast, compute=cast, accumulate=None)
    if (keep := _truth("keep_batchnorm_fp32", keep_batchnorm_fp32)) is not None:
        changes["batchnorm"] = "wide" if keep else "policy"
    if (masters := _truth("master_weights", master_weights)) is not None:
        changes["masters"] = float32 if masters else None
    if loss_scale is not None:
        changes["scaling"] = "apex" if loss_scale == "dynamic" else _number(loss_scale)
    return replace(NAMED_POLICIES[opt_level], **changes)


def _refuse_contradictions(
    opt_level: str, cast_model_type: Any, patch_torch_functions: Any, keep_batchnorm_fp32: Any, master_weights: Any
) -> None:
    """What Apex refuses, in its words."""
    patches = _truth("patch_torch_functions", patch_torch_functions)
    if patches is not None and patches != (opt_level == "O1"):
        got, remedy = f"patch_torch_functions={patches} with opt_level={opt_level}", "choose opt_level='O1', or another"
        raise ArgumentError(expected("apex", "functions patched by O1, and by O1 alone", got, remedy))
    if opt_level != "O1":
        return
    for name, value, allowed, why in (
        ("cast_model_type", cast_model_type, (None, False, "float32", float32),
         "O1 casts around operations, the weights stay float32; use O2 or O3 to cast the model"),
        ("keep_batchnorm_fp32", keep_batchnorm_fp32, (None,),
         "O1 chooses batch normalisation's format by its list; leave it None"),
        ("master_weights", master_weights, (None,), "with O1 the weights themselves are float32; leave it None"),
    ):  # fmt: skip
        if value not in allowed:
            got = f"{name}={value!r} with opt_level='O1'"
            raise ArgumentError(expected("apex", "overrides that O1 can honour", got, why))


def _truth(name: str, value: Any) -> bool | None:
    """Apex takes the strings too."""
    known = {None: None, True: True, False: False, "True": True, "False": False}
    if not isinstance(value, str | bool | None) or value not in known:
        raise ArgumentTypeError(expected("apex", "True, False or None", f"{name}={value!r}", "choose one"))
    return known[value]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        got = f"loss_scale={value!r}"
        raise ArgumentError(expected("apex", "a number or 'dynamic'", got, "choose one")) from None
