"""A heat map's cells are coloured by their value, and their text is read on that colour."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fpsim.plots.heat import heat_map
from fpsim.plots.style import THEMES, figure, ink_on, themed


@themed
def drawn(values, *, theme="light"):
    values = np.asarray(values)
    axes = figure(4, 3).subplots()
    return heat_map(axes, values, list("abcdefg")[: len(values)], list("xyz")[: values.shape[1]])


@pytest.mark.parametrize("theme", THEMES)
def test_zero_is_paper_infinity_ink_and_larger_is_darker(theme):
    image = drawn([[0.0, 1e-6, 1e-3], [np.nan, 1.0, np.inf]], theme=theme)
    shades = [to_hex(c).upper() for c in image.cmap(image.norm(image.get_array())).reshape(-1, 4)]
    assert shades[0] == shades[3] == THEMES[theme].paper
    assert shades[5] == THEMES[theme].ink
    brightness = [int(shade[1:3], 16) + int(shade[3:5], 16) for shade in (shades[1], shades[2], shades[4])]
    assert brightness == sorted(brightness, reverse=True)
    texts = image.axes.texts
    assert [t.get_text() for t in texts] == ["0", "1.0e-06", "1.0e-03", "–", "1.0e+00", "not finite"]
    for text, shade in zip(texts, shades, strict=True):
        assert text.get_color() == (THEMES[theme].faint if text.get_text() == "–" else ink_on(shade))


def test_the_scale_has_whole_powers_of_ten():
    norm = drawn([[3e-5, 4e-2]]).norm
    assert (norm.vmin, norm.vmax) == pytest.approx((1e-5, 1e-1))


@pytest.mark.parametrize("values", [[[0.0, 0.0]], [[np.inf, 0.0]], [[1.0, 1.0]], [[np.nan, 1e-300]]])
def test_maps_without_a_spread_are_drawn_too(values):
    norm = drawn(values).norm
    assert 0 < norm.vmin < norm.vmax < np.inf
