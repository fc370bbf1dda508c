"""What holds for every figure: its themes, its colours in grey, no text on another, the same bytes, no state left."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text

import fpsim as fp
from fpsim import plots
from fpsim.plots import style
from fpsim.plots.style import DASHES, MARKERS, PALETTE, THEMES, colours, ink_on, lines_of, saved_bytes, themed
from tests.plots.examples import EXAMPLES

figures = pytest.mark.parametrize("name", EXAMPLES)


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# Every plot ----------------------------------------------------------------------------------------------------------


def seen_texts(made):
    """Texts that are drawn, with their boxes in pixels."""
    renderer = made.canvas.get_renderer()
    made.draw(renderer)
    page = made.bbox
    found = {}
    for text in made.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            found[id(text)] = text
    for axes in made.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            scaled = axis.get_transform().transform
            low, high = sorted(scaled(limits))
            slack = 1e-9 * (high - low)
            shown = axes.get_visible() and axis.get_visible()
            for tick in (*axis.majorTicks, *axis.minorTicks):
                inside = low - slack <= scaled(tick.get_loc()) <= high + slack
                for label in (tick.label1, tick.label2):
                    if not (shown and inside and label.get_visible()):
                        found.pop(id(label), None)
    for axes in made.axes:
        if not axes.get_visible():
            for text in axes.findobj(Text):
                found.pop(id(text), None)
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in found.values()]
    return [(text, box) for text, box in boxes if box.width and box.height], page


@figures
def test_no_text_covers_another_or_leaves_the_page(name):
    texts, page = seen_texts(EXAMPLES[name]())
    assert len(texts) >= 3
    for text, box in texts:
        inside = (
            page.x0 - 0.5 <= box.x0 and box.x1 <= page.x1 + 0.5 and page.y0 - 0.5 <= box.y0 and box.y1 <= page.y1 + 0.5
        )
        assert inside, f"{text!r} leaves the page"
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(wide, high) <= 1, f"{one!r} covers {other!r}"


@figures
def test_the_same_data_give_the_same_bytes(name):
    assert saved_bytes(EXAMPLES[name]()) == saved_bytes(EXAMPLES[name]())


@figures
def test_every_plot_has_both_themes_and_leaves_matplotlib_as_it_was(name):
    before = matplotlib.rcParams.copy()
    light, dark = EXAMPLES[name](), EXAMPLES[name](theme="dark")
    assert matplotlib.rcParams == before
    assert colours().name == "light"
    for made, theme in ((light, THEMES["light"]), (dark, THEMES["dark"])):
        assert to_hex(made.get_facecolor()).upper() == theme.paper
        for axes in made.axes:
            assert contrast(axes.xaxis.label.get_color(), theme.paper) > 4.5
            for line in axes.lines:
                assert contrast(line.get_color(), theme.paper) > 2, f"{line.get_label()} in {theme.name}"
            for text in axes.texts:
                assert contrast(text.get_color(), theme.paper) > 4.5 or text.get_color() in ("#000000", "#FFFFFF")


@figures
def test_axes_are_named(name):
    for axes in EXAMPLES[name]().axes:
        if axes.get_label() == "<colorbar>":
            assert axes.get_ylabel()
        elif axes.axison and not axes.images and axes.get_visible():
            shared = not axes.xaxis.get_tick_params()["labelbottom"] or name == "scale_timeline"
            assert axes.get_xlabel() or shared
            assert axes.get_title(loc="left")


def test_a_theme_that_does_not_exist_is_refused_by_all():
    with pytest.raises(fp.ArgumentError) as error:
        plots.bits(1, theme="drak")
    assert str(error.value) == "bits: expected a theme of light, dark, got theme='drak'; choose dark."


def test_all_plots_take_a_theme():
    for name in plots.__all__:
        assert hasattr(getattr(plots, name), "__wrapped__"), name
        assert "theme" in getattr(plots, name).__wrapped__.__annotations__, name


# Colours -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_is_read_on_the_paper(theme):
    assert contrast(theme.ink, theme.paper) > 12
    assert contrast(theme.faint, theme.paper) > 4.5
    assert min(contrast(colour, theme.paper) for colour in theme.palette) > 2


def test_a_theme_is_in_force_inside_alone():
    @themed
    def draw(*, theme="light"):
        return theme, colours().name, matplotlib.rcParams["text.color"], style.colour_of("float32")[0]

    assert draw(theme="dark") == ("dark", "dark", "#F2F2F2", "#F2F2F2")
    assert draw() == ("light", "light", "#000000", "#000000")
    assert colours() is THEMES["light"]


def test_series_differ_in_colour_dash_and_marker():
    names = ["float16", "bfloat16", "float32", "mine", "yours", "theirs", "ours", "nobody's"]
    looks = lines_of(names)
    assert looks[0]["color"] == style.colour_of("float16")[0]
    for key in ("color", "linestyle", "marker"):
        assert len({str(look[key]) for look in looks}) == 8, key


def test_more_series_than_colours_are_drawn_too():
    assert len(lines_of(map(str, range(30)))) == 30
    assert len(DASHES) == len(MARKERS) == len(PALETTE)


def test_ink_is_read_on_every_colour():
    assert ink_on("#FFFFFF") == "#000000"
    assert ink_on("#000000") == "#FFFFFF"
    for colour in itertools.product(np.linspace(0, 1, 6), repeat=3):
        assert contrast(ink_on(colour), colour) > 4.5
