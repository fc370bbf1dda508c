"""`Parameter` and `Module`: what a network is made of, under PyTorch's names.

Layer 5. A module runs its operations in the precision it was assigned; it computes nothing itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fpsim.autograd.context import current, stored, using
from fpsim.autograd.tensor import Tensor, is_device, note_device, store
from fpsim.errors import ArgumentError, ArgumentTypeError, FormatError, ShapeError, expected
from fpsim.precision import Precision
from fpsim.rounding.codes import as_array
from fpsim.rounding.kernel import Array

__all__ = ["LoadedKeys", "Module", "Parameter"]


class LoadedKeys(NamedTuple):
    """What `Module.load_state_dict` gives: names that were missing, and names that were not known."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"LoadedKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Parameter(Tensor):
    """A tensor that an optimizer changes.

    Parameters
    ----------
    data : array_like or Tensor
        Rounded once into the precision (a tensor keeps its own).
    precision : optional
        The context's default unless given.
    """

    __slots__ = ("name",)

    role = "weight"

    def __init__(self, data: Any, requires_grad: bool = True, *, precision: Any = None) -> None:
        if precision is None:
            precision = data.precision if isinstance(data, Tensor) else current().default
        precision = Precision.parse(precision)
        super().__init__(store(data._data if isinstance(data, Tensor) else data, precision), precision, requires_grad)
        self.name: str | None = None
        stored(self, data, "parameter")

    def cast_(self, precision: Precision) -> None:
        """Take another precision, in place: rounded once from the values that are there."""
        before = self._data
        self.replace_values(store(before, precision))
        self.precision = precision
        stored(self, self, "cast", before=before)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Module:
    """Base of all networks and layers: assign modules and parameters in ``__init__``, compute in ``forward``.

    Attributes
    ----------
    precision : Precision or None
        What the module's operations run in, whatever its inputs' accumulators; inputs are cast to it at the border.
        None: as its inputs say.
    output_precision : Precision or None
        To which the result is cast at the end.
    training : bool
    """

    training: bool
    precision: Precision | None
    output_precision: Precision | None

    def __init__(self) -> None:
        for name, value in (
            ("_parameters", {}),
            ("_modules", {}),
            ("_buffers", {}),
            ("_unsaved", set()),
            ("_path", ""),
            ("training", True),
            ("precision", None),
            ("output_precision", None),
            ("autocast", None),
        ):
            object.__setattr__(self, name, value)

    # Parts -----------------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        """Put parameters, modules and buffers where the network finds them; anything else is an attribute."""
        if "_parameters" not in self.__dict__:
            got = f"{name} before it"
            raise ArgumentError(
                expected(type(self).__name__, "super().__init__() first", got, "call super().__init__() in __init__")
            )
        homes = (self._parameters, self._modules, self._buffers)
        if isinstance(value, Parameter):
            home: dict[str, Any] | None = self._parameters
        elif isinstance(value, Module):
            home = self._modules
        else:
            home = next((h for h in homes if name in h), None)
            if home is self._parameters and value is not None:
                got, remedy = f"{name}={type(value).__name__}", "wrap it: nn.Parameter(x)"
                raise ArgumentTypeError(expected(type(self).__name__, "an nn.Parameter or None there", got, remedy))
            if home is self._modules and value is not None:
                home = None
        for other in homes:
            if other is not home:
                other.pop(name, None)
        if home is None:
            object.__setattr__(self, name, value)
            return
        self.__dict__.pop(name, None)
        home[name] = value
        if isinstance(value, Module):
            value._take_path(name)

    def _take_path(self, path: str) -> None:
        """Take the path from the nearest module that runs; a list of modules, which never runs, passes it on."""
        object.__setattr__(self, "_path", path)
        if type(self).forward is Module.forward:
            for name, part in self._modules.items():
                if part is not None:
                    part._take_path(f"{path}.{name}")

    def __getattr__(self, name: str) -> Any:
        for home in ("_parameters", "_modules", "_buffers"):
            parts = self.__dict__.get(home, {})
            if name in parts:
                return parts[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for home in (self._parameters, self._modules, self._buffers):
            if name in home:
                del home[name]
                return
        object.__delattr__(self, name)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Add a parameter, or say with None that there is none of that name."""
        self._parameters[name] = parameter

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add values that belong to the network but are not trained; `persistent` ones are in the `state_dict`."""
        self._buffers[name] = tensor
        if not persistent:
            self._unsaved.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a part under a name."""
        if module is not None and not isinstance(module, Module):
            got = f"{name}={type(module).__name__}"
            raise ArgumentTypeError(expected(type(self).__name__, "an nn.Module", got, "pass a module"))
        if module is None:
            self._modules[name] = None
            return
        setattr(self, name, module)
        if type(self).forward is Module.forward and self._path:
            module._take_path(f"{self._path}.{name}")

    register_module = add_module

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name."""
        modules = dict(self.named_modules())
        if target not in modules:
            known = ", ".join(name for name in modules if name)
            raise ArgumentError(expected("get_submodule", "the name of a module", repr(target), f"use one of {known}"))
        return modules[target]

    # Running ---------------------------------------------------------------------------------------------------------

    def forward(self, *inputs: Any) -> Any:
        """Compute the result; every network defines its own."""
        got = "none"
        raise ArgumentError(expected(type(self).__name__, "a forward method", got, "define forward(self, x)"))

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward` in the module's own precision, with its path in the context for observers."""
        context = current()
        path = f"{context.module}.{self._path}".strip(".")
        changes: dict[str, Any] = {"module": path}
        if self.autocast is not None:
            changes["autocast"] = self.autocast
        elif context.autocast is None and self.precision is not None:
            changes["precision"] = self.precision
            inputs = tuple(self._at_border(x) for x in inputs)
        with using(**changes):
            out = self.forward(*inputs, **options)
        if self.output_precision is not None and isinstance(out, Tensor) and context.autocast is None:
            out = out.to(self.output_precision)
        return out

    def _at_border(self, x: Any) -> Any:
        wanted = self.precision
        if not isinstance(x, Tensor) or wanted is None:
            return x
        same = x.dtype == wanted.storage and x.accumulate == wanted.accumulate
        return x if same else x.to(wanted)

    # Looking ---------------------------------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Dotted names and modules, this one first, each once."""
        seen: set[int] = set()
        waiting = [(prefix, self)]
        while waiting:
            path, module = waiting.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            parts = [(f"{path}.{name}".strip("."), part) for name, part in module._modules.items() if part is not None]
            waiting.extend(reversed(parts))

    def modules(self) -> Iterator[Module]:
        """The module itself and all inside it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Names and modules directly inside."""
        return ((name, part) for name, part in self._modules.items() if part is not None)

    def children(self) -> Iterator[Module]:
        """Modules directly inside."""
        return (part for _, part in self.named_children())

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Dotted names and parameters, each once, in order of definition."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, parameter in module._parameters.items():
                if parameter is not None and id(parameter) not in seen:
                    seen.add(id(parameter))
                    parameter.name = f"{path}.{name}".strip(".")
                    yield parameter.name, parameter

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once, in order of definition."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self) -> Iterator[tuple[str, Any]]:
        """Dotted names and buffers."""
        for path, module in self.named_modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    yield f"{path}.{name}".strip("."), buffer

    def buffers(self) -> Iterator[Any]:
        """All buffers."""
        return (buffer for _, buffer in self.named_buffers())

    # Changing --------------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Module:
        """Training mode, here and in all inside."""
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self) -> Module:
        """Evaluation mode, here and in all inside."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Set whether the parameters are trained."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, the masters' too; without `set_to_none` those of the parameters become zeros."""
        for parameter in self.parameters():
            parameter.forget_gradient(set_to_none)

    def apply(self, function: Callable[[Module], Any]) -> Module:
        """Call a function on every module inside, then on this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self, *args: Any, dtype: Any = None, precision: Any = None, device: Any = None) -> Module:
        """Take another precision, in place: each parameter is rounded once; devices are ignored."""
        target = precision if precision is not None else dtype
        for like in args:
            if is_device(like):
                note_device()
            elif isinstance(like, Tensor):
                target = like.precision
            elif like is not None and not isinstance(like, bool):
                target = like
        if device is not None:
            note_device()
        if target is None:
            return self
        wanted = Precision.parse(target)
        for module in self.modules():
            if module._parameters or module.precision is not None:
                object.__setattr__(module, "precision", wanted)
        for parameter in self.parameters():
            parameter.cast_(wanted)
        return self

    def half(self) -> Module:
        """``to("float16")``."""
        return self.to("float16")

    def float(self) -> Module:
        """``to("float32")``."""
        return self.to("float32")

    def double(self) -> Module:
        """``to("float64")``."""
        return self.to("float64")

    def bfloat16(self) -> Module:
        """``to("bfloat16")``."""
        return self.to("bfloat16")

    def cuda(self, device: Any = None) -> Module:
        """The module itself: devices are ignored."""
        note_device()
        return self

    def cpu(self) -> Module:
        """The module itself."""
        return self

    # State -----------------------------------------------------------------------------------------------------------

    def _named_state(self) -> Iterator[tuple[str, Module, str]]:
        """For each parameter and saved buffer: its dotted name, the module that has it, its name there."""
        for path, module in self.named_modules():
            for home in (module._parameters, module._buffers):
                for name, part in home.items():
                    if part is not None and name not in module._unsaved:
                        yield f"{path}.{name}".strip("."), module, name

    def state_dict(self, prefix: str = "") -> OrderedDict[str, Any]:
        """Names to parameters and buffers, detached."""
        state: OrderedDict[str, Any] = OrderedDict()
        for full, module, name in self._named_state():
            part = getattr(module, name)
            state[prefix + full] = part.detach() if isinstance(part, Tensor) else part
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadedKeys:
        """Take values by name: tensors or arrays, rounded once into each parameter's own format.

        Raises
        ------
        ArgumentError
            With `strict`, names that are missing or not known; nothing is changed then.
        ShapeError, FormatError
            A value of another shape, NaN for a format without; nothing is changed.
        """
        if not isinstance(state_dict, Mapping):
            got = type(state_dict).__name__
            raise ArgumentTypeError(expected("load_state_dict", "a dict of arrays", got, "pass what state_dict() gave"))
        own = self.state_dict()
        keys = LoadedKeys([n for n in own if n not in state_dict], [n for n in state_dict if n not in own])
        if strict and any(keys):
            found = zip(("missing", "unknown"), keys, strict=True)
            got = "; ".join(f"{what} {_some(names)}" for what, names in found if names)
            raise ArgumentError(expected("load_state_dict", "the network's own names", got, "or pass strict=False"))
        values = {name: _array(state_dict[name]) for name in own if name in state_dict}
        for name, value in values.items():
            if np.shape(value) != np.shape(own[name]) or value.dtype.kind not in "fiub":
                got = f"{name} of shape {np.shape(value)} and dtype {value.dtype}"
                remedy = "load it into a network of the same sizes"
                raise ShapeError(expected("load_state_dict", f"numbers of shape {np.shape(own[name])}", got, remedy))
            if isinstance(own[name], Tensor) and not own[name].dtype.has_nan and np.isnan(value).any():
                fmt = own[name].dtype.name
                raise FormatError(expected("load_state_dict", f"numbers that {fmt} has", f"nan in {name}", "mask it"))
        for full, module, name in list(self._named_state()):
            if full not in values:
                continue
            part = getattr(module, name)
            if isinstance(part, Parameter):
                part.take(values[full], "load_state_dict")
            elif isinstance(part, Tensor):
                part.replace_values(store(values[full], part.precision))
            else:
                module._buffers[name] = values[full].astype(np.asarray(part).dtype)[()]
        return keys

    # Showing ---------------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between a layer's brackets."""
        return ""

    def __repr__(self) -> str:
        lines = [self.extra_repr()] if self.extra_repr() else []
        if not self._modules:
            return f"{type(self).__name__}({''.join(lines)})"
        for names, shown in _repeats([(name, repr(part)) for name, part in self._modules.items()]):
            lines.append(f"({names}): " + shown.replace("\n", "\n  "))
        return "\n  ".join([f"{type(self).__name__}(", *lines]) + "\n)"


def _repeats(parts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Numbered parts that look alike, one after the other, as one line: ``(0-2): 3 x Linear(...)``, as in PyTorch."""
    lines: list[tuple[str, str]] = []
    start = 0
    for i in range(1, len(parts) + 1):
        if i < len(parts) and parts[i][0].isdigit() and parts[i][1] == parts[start][1]:
            continue
        (first, shown), last = parts[start], parts[i - 1][0]
        lines.append((first, shown) if first == last else (f"{first}-{last}", f"{i - start} x {shown}"))
        start = i
    return lines


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(str(name)[:50] for name in names[:10]) + more


def _array(value: Any) -> Array:
    return value._data if isinstance(value, Tensor) else as_array("load_state_dict", value)
