"""The notebooks in JupyterLab, as a student has them: opened, run, a slider moved by keyboard, a bit clicked."""

import re

import pytest

pytestmark = pytest.mark.browser

#: Milliseconds until a page or a cell must have answered, on a busy machine.
PATIENCE = 60_000


@pytest.fixture
def opened(browser, jupyterlab, errors):
    """Open a notebook and wait for its kernel, in a page that no dialog blocks."""
    pages = []

    def open_notebook(name):
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        pages.append(page)
        page.goto(jupyterlab.format(f"{name}.ipynb") + "&reset")
        page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell")
        idle = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        page.wait_for_function(idle)
        assert page.locator(".jp-Dialog").count() == 0, page.locator(".jp-Dialog").first.inner_text()
        return page

    yield open_notebook
    for page in pages:
        page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
        page.close()


def cell_with(page, text):
    return page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea", has_text=text)).first


def run(page, cell):
    """Run a cell as a reader does, with Shift+Enter; its output."""
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    prompt = cell.locator(".jp-InputPrompt").first
    page.wait_for_function("(prompt) => /\\[\\d+\\]/.test(prompt.textContent)", arg=prompt.element_handle())
    failed = cell.locator(
        '[data-mime-type="application/vnd.jupyter.stderr"], .jp-RenderedText[data-mime-type*="error"]'
    )
    assert failed.count() == 0, failed.first.inner_text()
    return cell.locator(".jp-OutputArea-output").first


def test_the_tour_opens_and_its_first_cells_run(opened, pictures):
    page = opened("00_tour")
    assert "A tour" in page.locator(".jp-RenderedHTMLCommon h1").first.inner_text()
    run(page, cell_with(page, "import fpsim as fp"))
    out = run(page, cell_with(page, 'fp.inspect("0.1", "float16")'))
    assert "0.0999755859375" in out.inner_text()
    assert "2048" in run(page, cell_with(page, "1 + 1 + ...")).inner_text()
    page.screenshot(path=pictures / "tour.png")


def test_a_bit_that_is_clicked_flips(opened, pictures):
    page = opened("01_anatomy_of_a_float")
    run(page, cell_with(page, "import fpsim as fp"))
    cell = cell_with(page, "fp.widgets.bits(")
    run(page, cell)
    row = cell.get_by_role("group", name="float16", exact=True)
    row.wait_for()
    assert row.locator("output").inner_text() == "0.0999755859375"
    row.get_by_role("button", name=re.compile("float16 significand bit 0 ")).click()
    assert row.locator("output").inner_text() == "0.10003662109375"  # 0x2e67
    assert row.locator(".fpsim-code").inner_text() == "0x2e67"
    float32 = cell.get_by_role("group", name="float32", exact=True)
    assert float32.locator("output").inner_text() == "0.10003662109375"
    row.get_by_role("button", name="float16: one ulp down").focus()
    page.keyboard.press("Enter")
    assert row.locator("output").inner_text() == "0.0999755859375"
    page.keyboard.press("Tab")  # to "one ulp up": everything is reached by keyboard
    page.keyboard.press("Space")
    assert row.locator("output").inner_text() == "0.10003662109375"
    cell.scroll_into_view_if_needed()
    page.screenshot(path=pictures / "bits.png")


def test_the_loss_scale_is_moved_by_keyboard(opened, pictures):
    page = opened("06_loss_scaling")
    run(page, cell_with(page, "import fpsim as fp"))
    cell = cell_with(page, "fp.widgets.loss_scale(")
    run(page, cell)
    sentence = cell.locator(".fpsim-sentence")
    sentence.wait_for()
    assert sentence.inner_text().startswith("scale 2^0 = 1: 3.44 % of the gradients become 0")
    before = cell.locator("img").get_attribute("src")
    cell.locator(".noUi-handle").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    cell.locator(".fpsim-sentence", has_text="scale 2^4 = 16: ").wait_for()
    assert cell.locator(".widget-readout").inner_text() == "2^4"
    assert cell.locator("img").get_attribute("src") != before
    cell.scroll_into_view_if_needed()
    page.screenshot(path=pictures / "loss_scale.png")


def test_every_slider_answers_and_a_training_is_watched_and_stopped(opened, pictures):
    page = opened("controls")
    run(page, cell_with(page, "import fpsim as fp"))
    for name, key, wanted in (
        ("number_line", "ArrowRight", "3.1 is stored as 3 "),
        ("accumulate", "ArrowRight", "8,192 terms: the sum is 256,"),
        ("format_designer", "ArrowLeft", "e4m10: 15 bits"),
    ):
        cell = cell_with(page, f"fp.widgets.{name}(")
        run(page, cell)
        cell.locator(".noUi-handle").first.focus()
        page.keyboard.press(key)
        cell.locator(".fpsim-sentence", has_text=wanted).wait_for()
    cell = cell_with(page, "fp.widgets.accumulate(")
    cell.get_by_role("combobox").first.select_option("bfloat16")
    cell.locator(".fpsim-sentence", has_text="bfloat16, sequential, 8,192 terms: the sum is 32,").wait_for()

    cell = cell_with(page, "fp.widgets.compare(")
    run(page, cell)
    cell.locator(".fpsim-sentence", has_text="Nothing has been trained yet.").wait_for()
    start, stop = (cell.get_by_role("button", name=name) for name in ("Start", "Stop"))
    start.click()
    cell.locator(".fpsim-sentence", has_text="float32: step ").wait_for()
    seen = cell.locator(".fpsim-sentence").inner_text()
    page.wait_for_function("([c, t]) => !c.innerText.includes(t)", arg=[cell.element_handle(), seen])  # it grows
    assert start.is_disabled()
    stop.click()
    page.wait_for_function("(button) => !button.disabled", arg=start.element_handle())
    assert "20000, loss" in cell.locator(".fpsim-sentence").inner_text()
    assert "of test images right" not in cell.locator(".fpsim-sentence").inner_text()
    cell.scroll_into_view_if_needed()
    page.screenshot(path=pictures / "compare.png")
