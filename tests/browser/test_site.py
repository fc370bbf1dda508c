"""The exported pages: from a file, without a kernel or a network, on a screen and on a phone."""

import pytest

from tests.course.test_site import FIRST, SECOND

pytestmark = pytest.mark.browser

SIZES = {"screen": (1100, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    for library in ("jupytext", "nbclient", "nbconvert", "ipykernel"):
        pytest.importorskip(library, reason=f"no {library}: pip install fpsim-lab[notebooks]")
    from fpsim.course.site import build

    sources = tmp_path_factory.mktemp("notebooks")
    scale = "\n# %%\nfp.widgets.loss_scale()\n"
    (sources / "00_first.py").write_text(FIRST + scale, encoding="utf-8")
    (sources / "01_second.py").write_text(SECOND, encoding="utf-8")
    return build(tmp_path_factory.mktemp("site"), sources).folder


@pytest.fixture(params=SIZES)
def page(request, browser, folder, errors, pictures):
    """The page with controls; nothing may be loaded but files, and nothing complained of."""
    width, height = SIZES[request.param]
    context = browser.new_context(
        viewport={"width": width, "height": height}, offline=True, has_touch=request.param == "phone"
    )
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    asked = []
    opened.on("request", lambda sent: asked.append(sent.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
    opened.goto((folder / "index.html").as_uri())
    opened.get_by_role("link", name="00 First").click()
    yield opened
    opened.screenshot(path=pictures / f"{request.node.originalname}_{request.param}.png", full_page=True)
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    context.close()


def test_a_slider_moves_through_its_frames(page):
    place = page.locator('[data-name="loss_scale"]')
    sentence, slider = place.locator(".fpsim-sentence"), place.get_by_role("slider", name="loss scale")
    assert sentence.inner_text().startswith("scale 2^0 = 1: ")
    before = place.locator("img").get_attribute("src")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert sentence.inner_text().startswith("scale 2^4 = 16: ")
    assert place.locator("output").inner_text() == "2^4"
    assert slider.get_attribute("aria-valuetext") == "2^4"
    assert place.locator("img").get_attribute("src") != before
    assert place.locator("img").evaluate("(img) => img.complete && img.naturalWidth > 300")
    box = slider.bounding_box()  # by finger or mouse, at its end
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    assert sentence.inner_text().startswith("scale 2^24 = ")


def test_a_clicked_bit_flips_without_a_kernel(page):
    row = page.get_by_role("group", name="float16", exact=True)
    assert row.locator("output").inner_text() == "0.0999755859375"
    row.get_by_role("button", name="float16 sign bit is 0: flip it").click()
    assert row.locator("output").inner_text() == "-0.0999755859375"
    row.get_by_role("button", name="float16: one ulp up").click()
    assert row.locator(".fpsim-code").inner_text() == "0xae65"
    number = page.get_by_label("number")
    number.fill("1/3")
    number.press("Enter")
    assert row.locator("output").inner_text() == "0.333251953125"
    assert row.locator(".fpsim-error").inner_text() == "error -0.0000814, relative 0.00024"
    number.fill("a third")
    number.press("Enter")
    assert "a third is not a number" in page.get_by_role("alert").inner_text()
    assert row.locator("output").inner_text() == "0.333251953125"


def test_no_page_scrolls_sideways(page):
    for name in ("00_first", "01_second", "index"):
        page.goto(page.url.rpartition("/")[0] + f"/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
