"""A headless Chromium, and a JupyterLab on this machine: skipped, with the reason, where one of them is missing."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from fpsim.course.copies import copies

ROOT = Path(__file__).parents[2]
TOKEN = "of-this-test-alone"
#: Nothing may ask a question, look for news, or take cells that are out of sight from the page.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}
#: The controls that move by slider, and the one that trains.
CONTROLS = {
    "cells": [
        {
            "cell_type": "code",
            "id": f"cell{i}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for i, source in enumerate(
            (
                "import fpsim as fp",
                "fp.widgets.number_line()",
                "fp.widgets.accumulate()",
                "fp.widgets.format_designer()",
                'fp.widgets.compare(["float32", "float16"], steps=20_000)',
            )
        )
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def chromium_path():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    path = chromium_path()
    with playwright.sync_playwright() as made:
        launched = made.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield launched
        launched.close()


@pytest.fixture
def errors():
    """What pages complained of; none may be left at the end."""
    found = []
    yield found
    assert found == []


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Where screenshots go: FPSIM_SCREENSHOTS, or a folder of this run."""
    folder = Path(os.environ.get("FPSIM_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory):
    """Address of a JupyterLab over the students' notebooks, with settings of its own."""
    for module in ("jupyterlab", "ipywidgets", "anywidget", "jupytext"):
        pytest.importorskip(module, reason=f"no {module}: pip install jupyterlab fpsim-lab[notebooks]")
    chromium_path()
    home = tmp_path_factory.mktemp("jupyter")
    (home / "notebooks").mkdir()
    for source in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"):
        (home / "notebooks" / f"{source.stem}.ipynb").write_text(copies(source)["student"], encoding="utf-8")
    (home / "notebooks" / "controls.ipynb").write_text(json.dumps(CONTROLS), encoding="utf-8")
    for name, content in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    environment.pop("FPSIM_WIDGETS", None)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={home / 'notebooks'}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=home)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, home / "log")
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}?token={TOKEN}"
    finally:
        server.terminate()  # and with it its kernels
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(address, server, log, seconds=90):
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
