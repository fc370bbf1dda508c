"""What holds for every test: Hypothesis's profiles, no display, and no state left behind."""

import os

import hypothesis
import numpy as np
import pytest

from fpsim.autograd import context

os.environ.setdefault("MPLBACKEND", "Agg")  # before anything draws

collect_ignore = ["oracles/record_torch.py", "oracles/torch_transformer.py"]  # they need torch, and are no tests

hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


def numpys_global_random_state():
    name, key, *rest = np.random.get_state()  # noqa: NPY002, to see that nobody used it
    return name, key.tobytes(), *rest


@pytest.fixture(autouse=True)
def nothing_leaks():
    """A test leaves the numerics context and NumPy's global random state as it found them."""
    random, numerics = numpys_global_random_state(), context.current()
    yield
    assert context.current() == numerics, "the test left a numerics context in force"
    assert numpys_global_random_state() == random, "the test used NumPy's global random state"
