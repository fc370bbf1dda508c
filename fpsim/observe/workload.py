"""`Workload`: what one step of a network multiplies, moves and keeps, counted from its recorded operations.

Layer 7. Counts shapes and formats; devices and policies are `cost`'s matter.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.autograd import Tensor
from fpsim.autograd.engine import Node
from fpsim.formats import Format
from fpsim.nn import Parameter
from fpsim.observe.operations import READ_BY_BACKWARD, macs, macs_of_gradient, read_by_gradient
from fpsim.observe.storage import Storage

__all__ = ["READ_BY_BACKWARD", "Step", "Workload"]

#: Operations whose result is another view of the same memory.
VIEWS = ("reshape", "transpose", "broadcast_to")


@dataclass(frozen=True)
class Step:
    """One thing that a device does: an operation, one of its gradients, or an update; bytes read and written."""

    op: str
    module: str
    #: ``forward``, ``backward`` or ``update``
    phase: str
    macs: int
    storage: Format
    accumulate: Format
    read: int
    written: int


#: A piece of memory: the operation that made it, or the tensor or array that was there before.
Memory = Any


class Workload:
    """The operations behind the result of one forward pass, in order, with everything that must be recorded recorded.

    Parameters
    ----------
    outputs : Tensor, or tensors nested in lists, tuples and dicts
    trained : set of int
        The ``id`` of each parameter that is trained.
    accumulator : callable, optional
        In which format a module, by its path, accumulates sums into a storage format; unless given, as recorded.
    """

    def __init__(
        self, outputs: Any, trained: set[int], accumulator: Callable[[str, Format], Format] | None = None
    ) -> None:
        self.outputs = list(_tensors(outputs))
        self.nodes = sorted(_behind(self.outputs), key=lambda n: n.seq)
        self.trained = trained
        self._accumulator = accumulator
        self._wanted: dict[int, bool] = {}
        for node in self.nodes:  # the first come first, so that arguments are known before results
            self._wanted[id(node)] = any(x is not None and self.wants_gradient(x) for x in node.inputs)

    # Memory ----------------------------------------------------------------------------------------------------------

    def wants_gradient(self, x: Tensor) -> bool:
        """Whether backward computes the gradient of a tensor."""
        return id(x) in self.trained if x._node is None else self._wanted[id(x._node)]

    def memory_of(self, x: Tensor) -> Memory:
        """The memory that a tensor lies in, found through views."""
        while x._node is not None and _is_view(x._node):
            source = x._node.inputs[0]
            assert source is not None
            x = source
        return x if x._node is None else x._node

    def is_weight(self, memory: Memory) -> bool:
        """Whether it is a parameter's own."""
        return isinstance(memory, Parameter)

    def is_cast_weight(self, memory: Memory) -> bool:
        """Whether it is a copy of a parameter in another format."""
        if not isinstance(memory, Node) or memory.op.name != "cast" or memory.inputs[0] is None:
            return False
        return self.is_weight(self.memory_of(memory.inputs[0]))

    def nbytes(self, memory: Memory) -> int:
        """Bytes of a piece of memory, in the format that it is stored in."""
        if isinstance(memory, Node):
            return _bytes(memory.out.size, memory.precision.storage)
        return memory.nbytes  # a tensor's, or a mask's

    def _arguments(self, node: Node) -> list[Memory]:
        return [self.memory_of(x) for x in node.inputs if x is not None]

    def read_by_backward(self, node: Node, argument: int) -> tuple[list[Memory], int]:
        """The memory that one gradient formula reads, and the bytes of what the forward formula saved for it."""
        rule = read_by_gradient(node.op.name, 0 if node.op.arity < 0 else argument)
        if rule is None:
            rule = (*range(len(node.inputs)), "out", *(("saved",) if node.op.saves else ()))
        found: list[Memory] = []
        saved = 0
        for part in rule:
            if part == "out":
                found.append(node)
            elif part == "saved":
                accumulate = self._accumulate(node)
                saved = sum(_bytes(x.size, accumulate) for x in node.saved)
            elif isinstance(part, str):
                if node.metadata[part] is None:
                    continue
                found.append(np.broadcast_to(np.bool_(True), np.shape(node.metadata[part])))
            elif (x := node.inputs[part]) is not None:
                found.append(self.memory_of(x))
        return list({id(memory): memory for memory in found}.values()), saved

    def _gradients(self, node: Node) -> Iterator[tuple[int, Tensor]]:
        """The arguments whose gradients backward computes."""
        for argument, x in enumerate(node.inputs):
            if x is not None and self.wants_gradient(x):
                yield argument, x

    def kept(self, nodes: Iterable[Node] | None = None) -> dict[str, int]:
        """Bytes that the forward pass keeps for backward: ``activations`` (the input among them), ``cast weights``.

        For all operations, or for some. Weights themselves are not counted: they are there anyway.
        """
        sizes = {"activations": 0, "cast weights": 0}
        seen: set[int] = set()
        for node in self.nodes if nodes is None else nodes:
            saved = 0
            for argument, _ in self._gradients(node):
                memories, saved_for_it = self.read_by_backward(node, argument)
                saved = max(saved, saved_for_it)
                for memory in memories:
                    if id(memory) in seen or self.is_weight(memory):
                        continue
                    if not isinstance(memory, np.ndarray):  # (a mask belongs to its operation alone)
                        seen.add(id(memory))
                    sizes["cast weights" if self.is_cast_weight(memory) else "activations"] += self.nbytes(memory)
            sizes["activations"] += saved
        return sizes

    def alive_at_once(self) -> int:
        """The most bytes of results, and of the input, that a forward pass alone needs at any one time.

        Each result is let go of after the last operation that reads it; weights, and copies of them, are not counted.
        """
        last: dict[int, int] = {}
        memory_of: dict[int, Memory] = {}
        for place, node in enumerate(self.nodes):
            for memory in (*self._arguments(node), *(() if _is_view(node) else (node,))):
                last[id(memory)], memory_of[id(memory)] = place, memory
        for x in self.outputs:
            last[id(self.memory_of(x))] = len(self.nodes)
        held = [
            m for m in memory_of.values() if isinstance(m, Tensor) and not self.is_weight(m)
        ]  # the input is there from the start
        now = most = sum(self.nbytes(m) for m in held)
        leaving = [(last[id(m)], self.nbytes(m)) for m in held]
        heapq.heapify(leaving)
        for place, node in enumerate(self.nodes):
            if not _is_view(node) and not self.is_cast_weight(node):
                now += self.nbytes(node)
                most = max(most, now)
                heapq.heappush(leaving, (last[id(node)], self.nbytes(node)))
            while leaving and leaving[0][0] <= place:
                now -= heapq.heappop(leaving)[1]
        return most

    def weights_read(self) -> int:
        """Bytes of the parameters in the formats that the operations read them in: what inference has to hold."""
        formats: dict[int, set[Storage]] = {}
        weights: dict[int, Memory] = {}
        for node in self.nodes:
            if _is_view(node):
                continue
            for memory in self._arguments(node):
                if self.is_weight(memory):
                    weights[id(memory)] = memory
                    read_in = node.precision.storage if node.op.name == "cast" else memory.dtype
                    if node.op.name == "quantized_linear" and memory.ndim == 2:  # (the bias stays as it is)
                        read_in = node.metadata["quantized"].formats["w"]
                    formats.setdefault(id(memory), set()).add(Storage.parse(read_in))
        return sum(_stored(weights[key], storage) for key, found in formats.items() for storage in found)

    # Time ------------------------------------------------------------------------------------------------------------

    def forward(self, casts: bool = True) -> Iterator[Step]:
        """Each operation once; without `casts`, weights are cast before and for good, as for inference."""
        for node in self.nodes:
            if _is_view(node) or (not casts and self.is_cast_weight(node)):
                continue
            arguments = {id(memory): memory for memory in self._arguments(node)}
            read = sum(map(self.nbytes, arguments.values()))
            if node.op.name == "quantized_linear" and not casts:
                weight = self._arguments(node)[1]
                read += _stored(weight, node.metadata["quantized"].formats["w"]) - self.nbytes(weight)
            if node.op.name == "getitem":  # the rows that are looked up, not the table
                source = node.inputs[0]
                assert source is not None
                read = _bytes(node.out.size, source.dtype)
            yield self._step(node, "forward", macs(node), read, self.nbytes(node))

    def backward(self) -> Iterator[Step]:
        """Each gradient once, from the last operation to the first; where several meet, their additions."""
        arrivals: dict[int, int] = {}
        for node in reversed(self.nodes):
            for argument, x in self._gradients(node):
                g = _bytes(node.out.size, _gradient_format(node.precision))
                written = _bytes(x.size, _gradient_format(x.precision))
                met = arrivals[id(x)] = arrivals.get(id(x), 0) + 1
                if met > 1:
                    yield Step("sum of gradients", node.module, "backward", 0, x.dtype, x.dtype, 2 * written, written)
                if _is_view(node) or (node.op.name in ("add", "subtract") and x.shape == node.out.shape):
                    continue  # the gradient passes as it is
                memories, saved = self.read_by_backward(node, argument)
                read = g + saved + sum(map(self.nbytes, memories))
                yield self._step(node, "backward", macs_of_gradient(node, argument), read, written)

    def _step(self, node: Node, phase: str, macs: int, read: int, written: int) -> Step:
        storage = node.precision.storage
        if node.op.name == "quantized_linear" and macs:  # what is multiplied is narrower than what is stored
            operand = node.metadata["quantized"].formats["x" if phase == "forward" else "g"]
            return Step(
                node.op.name, node.module, phase, macs, Storage.parse(operand).format, self._accumulate(node), read,
                written,
            )  # fmt: skip
        return Step(node.op.name, node.module, phase, macs, storage, self._accumulate(node), read, written)

    def _accumulate(self, node: Node) -> Format:
        if self._accumulator is None:
            return node.precision.accumulate
        return self._accumulator(node.module, node.precision.storage)


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, dict):
        yield from _tensors(list(outputs.values()))
    elif isinstance(outputs, list | tuple):
        for one in outputs:
            yield from _tensors(one)


def _behind(outputs: list[Tensor]) -> list[Node]:
    """Every operation that the outputs were made by."""
    found: dict[int, Node] = {}
    waiting = [x._node for x in outputs]
    while waiting:
        node = waiting.pop()
        if node is not None and id(node) not in found:
            found[id(node)] = node
            waiting.extend(x._node for x in node.inputs if x is not None)
    return list(found.values())


def _is_view(node: Node) -> bool:
    """Whether the result is its argument's memory: views, plain slices, casts to the format that is there."""
    source = node.inputs[0] if node.inputs else None
    if source is None:
        return False
    if node.op.name == "cast":
        return source.dtype == node.precision.storage
    if node.op.name == "getitem":
        index = node.metadata["index"]
        parts = index if isinstance(index, tuple) else (index,)
        return all(part is None or part is Ellipsis or isinstance(part, int | np.integer | slice) for part in parts)
    return node.op.name in VIEWS


def _gradient_format(precision: Any) -> Format:
    return precision.storage if precision.grad is None else precision.grad


def _stored(weight: Memory, storage: Any) -> int:
    """Bytes of a weight in another storage."""
    return Storage.parse(storage).nbytes(weight.size, weight.shape[-1] if weight.ndim else 1)


def _bytes(size: int, fmt: Format) -> int:
    return -(-size * fmt.bits // 8)
