"""The house of fpsim: its rooms, from the ground up, and the rule that imports only run downward."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fpsim

PACKAGE = Path(fpsim.__file__).parent

#: Every room and its layer. A room imports itself and rooms of lower layers.
LAYERS = {
    "errors": 0,
    "files": 0,
    "formats": 0,
    "kernels": 1,
    "rounding": 1,
    "accumulate": 2,
    "precision": 2,
    "mx": 2,
    "autograd": 3,
    "ops": 4,
    "nn": 5,
    "optim": 5,
    "data": 5,
    "utils": 6,  # PyTorch's path to the data loader
    "torch_names": 6,
    "amp": 6,
    "observe": 7,
    "experiments": 8,
    "plots": 9,
    "gallery": 10,  # experiments and plots together: `fpsim figures`
    "selftest": 10,
    "widgets": 10,
    "course": 11,
    "cli": 12,
    "testing": 13,  # may use every room; no room uses it
    "__init__": 14,  # gathers the public names
    "__main__": 14,
}

#: The only steps between rooms of one layer, in this direction.
BESIDE = {
    ("formats", "errors"),
    ("rounding", "kernels"),
    ("precision", "accumulate"),
    ("nn", "optim"),
    ("__main__", "__init__"),
}

#: What a room may import at module level besides the standard library, NumPy and fpsim.
OTHERS = {"testing": {"hypothesis", "mpmath"}, "kernels": {"numba", "llvmlite"}}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST, file: Path):
    """Every module that a file imports, anywhere in it, under its full name, with the line."""
    package = ("fpsim", *file.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else ())))
            if module == "fpsim":  # `from fpsim import formats`: a room, or else a name of the whole package
                for alias in node.names:
                    yield f"fpsim.{alias.name}" if alias.name in LAYERS else "fpsim", node.lineno
            else:
                yield module, node.lineno


def upward(source: str, file: Path) -> list[str]:
    """The imports of a file that the table does not allow."""
    here = room_of(file)
    found = []
    for module, line in imports(ast.parse(source), file):
        top, _, rest = module.partition(".")
        if top != "fpsim":
            continue
        there = rest.split(".")[0] or "__init__"
        if there not in LAYERS:
            found.append(f"{file.name}:{line}: {there} is not a room")
        elif not (here == there or LAYERS[there] < LAYERS[here] or (here, there) in BESIDE):
            found.append(f"{file.name}:{line}: {here} ({LAYERS[here]}) imports {there} ({LAYERS[there]})")
    return found


def test_every_room_is_in_the_table():
    assert {room_of(file) for file in FILES} <= set(LAYERS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_downward(file):
    assert upward(file.read_text(encoding="utf-8"), file) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_numpy_is_imported_at_module_level(file):
    allowed = sys.stdlib_module_names | {"numpy", "fpsim"} | OTHERS.get(room_of(file), set())
    outermost = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(outermost):
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if inside or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            node.body = [ast.Pass()]
    assert {module.split(".")[0] for module, _ in imports(outermost, file)} <= allowed


@pytest.mark.parametrize(
    ("file", "source", "fault"),
    [
        ("ops/linalg.py", "from fpsim.nn import Linear", "linalg.py:1: ops (4) imports nn (5)"),
        ("ops/linalg.py", "import fpsim.nn.functional", "linalg.py:1: ops (4) imports nn (5)"),
        ("ops/linalg.py", "from ..nn import Linear", "linalg.py:1: ops (4) imports nn (5)"),
        ("ops/linalg.py", "from fpsim import nn", "linalg.py:1: ops (4) imports nn (5)"),
        ("ops/linalg.py", "from .. import nn", "linalg.py:1: ops (4) imports nn (5)"),
        ("ops/linalg.py", "def f():\n    import fpsim.nn", "linalg.py:2: ops (4) imports nn (5)"),
        (
            "ops/linalg.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fpsim.nn import Linear",
            "linalg.py:3: ops (4) imports nn (5)",
        ),
        ("ops/linalg.py", "import fpsim as fp", "linalg.py:1: ops (4) imports __init__ (14)"),
        ("ops/linalg.py", "from fpsim import Tensor", "linalg.py:1: ops (4) imports __init__ (14)"),
        ("errors.py", "from fpsim import formats", "errors.py:1: errors (0) imports formats (0)"),
        ("cli.py", "from fpsim.testing import exact", "cli.py:1: cli (12) imports testing (13)"),
        ("nn/layers.py", "import fpsim.cellar", "layers.py:1: cellar is not a room"),
        ("ops/linalg.py", "from .shape import mT\nfrom fpsim.autograd.op import op\nimport numpy", None),
        ("formats.py", "from fpsim.errors import FormatError", None),
    ],
)
def test_the_rule_itself(file, source, fault):
    assert upward(source, PACKAGE / file) == ([fault] if fault else [])


def test_import_fpsim_needs_numpy_alone():
    """Against what NumPy itself loads, in a new process."""
    loaded = {}
    for name in ("numpy.random", "fpsim"):
        program = f"import sys, {name}; print(*{{module.split('.')[0] for module in sys.modules}})"
        loaded[name] = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    third_party = loaded["fpsim"] - loaded["numpy.random"] - sys.stdlib_module_names - {"fpsim"}
    assert {name for name in third_party if not name.startswith("_")} == set()
    assert not loaded["fpsim"] & {"matplotlib", "numba", "hypothesis", "IPython", "ipywidgets"}
