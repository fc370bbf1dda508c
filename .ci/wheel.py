"""Build the wheel and the sdist, look into both, and use the wheel in a new environment outside of the tree.

Part of `.ci/run`; by hand: ``python .ci/wheel.py``. Needs `build`. First with NumPy alone, then as pip installs it.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 2_000_000  # bytes: the embedded images are most of it
#: What has to be in the wheel beside Python.
DATA = {
    "fpsim/py.typed", "fpsim/selftest/manifest.json", "fpsim/data/optdigits.npz", "fpsim/data/fashion_mnist_1500.npz",
    "fpsim/data/alice.txt.gz",
    "fpsim/widgets/assets/bits.js", "fpsim/widgets/assets/frames.js", "fpsim/widgets/assets/widgets.css",
    "fpsim/widgets/assets/gradients.npz", "fpsim/widgets/assets/running_sums.npz", "fpsim/course/assets/page.html",
    "fpsim/course/assets/page.css",
}  # fmt: skip
ALONE = """
import sys, fpsim as fp
run = fp.train("float16", steps=2, scenario="rounding")
assert not {"matplotlib", "numba"} & set(sys.modules), "import fpsim is no longer NumPy alone"
print(fp.__file__, fp.round(0.1, "float16"), run.loss)
"""


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel, made from the sdist, and the sdist."""
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, stdout=subprocess.DEVNULL)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def look_into(wheel: Path, sdist: Path) -> None:
    """The wheel is pure and holds the package, its data, its licences and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names, size = set(archive.namelist()), wheel.stat().st_size
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fpsim").rglob("*.py")}
    missing = (DATA | modules) - names
    others = {name for name in names if not name.startswith(("fpsim/", "fpsim_lab-"))}
    assert wheel.name.endswith("-py3-none-any.whl"), f"{wheel.name} is not pure"
    assert not missing, f"not in the wheel: {sorted(missing)}"
    assert not others, f"in the wheel, but not of it: {sorted(others)}"
    assert size < LARGEST, f"the wheel has {size:,} bytes"
    for licence in ("LICENSE", "DATA-NOTICES.md"):
        assert any(name.endswith(f"licenses/{licence}") for name in names), f"{licence} is not in the wheel"
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/pyproject.toml") for name in archive.getnames())
    print(f"{wheel.name}: {size:,} bytes, {len(names)} files; {sdist.name}: {sdist.stat().st_size:,} bytes")


def use(wheel: Path, folder: Path) -> None:
    """Install it, first without what it depends on beside NumPy, and run what a new user runs."""
    venv.create(folder / "venv", with_pip=True)
    programs, elsewhere = folder / "venv" / ("Scripts" if os.name == "nt" else "bin"), folder / "elsewhere"
    elsewhere.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}

    def run(program: str, *arguments: object) -> None:
        print("--", program, *(str(a).strip().partition("\n")[0] for a in arguments), flush=True)
        subprocess.run([programs / program, *map(str, arguments)], cwd=elsewhere, env=environment, check=True)

    run("python", "-m", "pip", "install", "-q", "numpy")
    run("python", "-m", "pip", "install", "-q", "--no-deps", wheel)
    run("python", "-c", ALONE)
    run("python", "-m", "pip", "install", "-q", wheel)
    run("fpsim")
    run("fpsim", "inspect", "0.1")
    run("fpsim", "selftest")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        made = build(Path(name) / "dist")
        look_into(*made)
        use(made[0], Path(name))
