"""The static site: a small notebook becomes a page; links, loads and sizes are checked."""

import json

import pytest

from fpsim import cli
from fpsim.course import links
from fpsim.course.links import problems_of
from fpsim.errors import ArgumentError, CourseError

FIRST = """# %% [markdown]
# # 00 First
#
# **Question.** What is
# stored?
#
# After this `01_second`; see [its end](01_second.ipynb#The-end). Here $x^2$ and `$HOME`, and
#
# $$\\frac{T}{1024}$$

# %%
import fpsim as fp
import matplotlib.pyplot as plt

print("stored", fp.round(0.1, "float16"))

# %%
print("ex00.1: not answered yet. Hint: a long sentence")

# %%
fp.widgets.bits("0.1", ["float16"])

# %%
fp.widgets.number_line(["float4_e2m1fn"], values=["1", "1.3"], x="1")

# %% [markdown]
# ## A line

# %%
plt.plot([1, 2])
plt.show()
"""

SECOND = """# %% [markdown]
# # 01 Second
#
# ## The end
"""


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    for library in ("jupytext", "nbclient", "nbconvert", "ipykernel"):
        pytest.importorskip(library)
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "00_first.py").write_text(FIRST, encoding="utf-8")
    (folder / "01_second.py").write_text(SECOND, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def site(notebooks, tmp_path_factory):
    from fpsim.course.site import build

    return build(tmp_path_factory.mktemp("site"), notebooks)


@pytest.fixture(scope="module")
def first(site):
    return (site.folder / "00_first.html").read_text(encoding="utf-8")


def test_every_notebook_has_a_page_and_the_index_its_question(site):
    assert [page.file for page in site.pages] == ["00_first.html", "01_second.html"]
    index = (site.folder / "index.html").read_text(encoding="utf-8")
    assert '<a href="00_first.html">00 First</a><p>What is stored?</p>' in index
    assert site.problems == ()


def test_cells_have_run(first):
    assert "stored 0.0999755859375" in first
    assert "data:image/png;base64" in first
    assert '<pre class="hint">ex00.1: not answered yet.' in first


def test_notebooks_named_in_the_text_are_links(first):
    assert '<a href="01_second.html"><code>01_second</code></a>' in first
    assert 'href="01_second.html#The-end"' in first
    assert '<a rel="next" href="01_second.html">' in first


def test_formulas_are_pictures_that_can_be_read_aloud(first):
    assert '<img alt="\\frac{T}{1024}" class="formula" src="data:image/svg+xml;base64,' in first
    assert '<img alt="x^2" class="formula"' in first
    assert "<code>$HOME</code>" in first


def test_a_figure_is_described_by_its_heading(first):
    assert 'alt="Figure: A line"' in first
    assert "No description has been provided" not in first


def test_controls_have_their_frames_and_one_script(first, site):
    assert first.count('data-fpsim="bits"') == 2  # the place, and the script that finds it
    assert '<div class="fpsim-panel" data-fpsim="panel" data-name="number_line">' in first
    assert first.count("function mountPanel") == 1
    assert "application/vnd.jupyter.widget" not in first
    assert "mountPanel" not in (site.folder / "01_second.html").read_text(encoding="utf-8")


def test_pages_fit_a_phone_and_load_nothing(first):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in first
    assert "mathjax" not in first.lower()
    assert "require" not in first.lower()


def test_a_cell_that_fails_ends_the_build(tmp_path, notebooks, capsys):
    (tmp_path / "05_wrong.py").write_text("# %%\nraise ValueError('of no use')\n", encoding="utf-8")
    from fpsim.course.site import build

    with pytest.raises(CourseError, match="05_wrong: a cell failed: ValueError: of no use"):
        build(tmp_path / "site", tmp_path)
    assert cli.main(["course", "build", str(tmp_path / "site"), "--notebooks", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "fpsim: 05_wrong: a cell failed: ValueError: of no use\n"


def test_notebooks_that_are_not_there_are_named(tmp_path, notebooks):
    from fpsim.course.site import build

    with pytest.raises(ArgumentError, match=r"course build: expected notebooks such as 00_tour\.py, got none in"):
        build(tmp_path / "site", tmp_path)
    with pytest.raises(ArgumentError, match="got 07 in"):
        build(tmp_path / "site", notebooks, ["00", "07"])
    with pytest.raises(ArgumentError, match="expected a reader of student, teacher, got 'nobody'"):
        build(tmp_path / "site", notebooks, reader="nobody")
    assert not (tmp_path / "site").exists()


# Links ---------------------------------------------------------------------------------------------------------------


def checked(folder, body, **others):
    (folder / "index.html").write_text(body, encoding="utf-8")
    for name, text in others.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return list(problems_of(folder))


@pytest.mark.parametrize(
    "body",
    [
        '<a href="other.html">x</a><a href="other.html#there">y</a><a href="#here">z</a><p id="here">',
        '<a href="#a%20b">decoded</a><h2 id="a b"><a href="#%22x%22">as it stands</a><h2 id="%22x%22">',
        '<a href="https://example.org/">a source</a><img src="data:,"><link rel="icon" href="data:,">',
        "<script>const x = 'www.w3.org'; f(import_of(1))</script><style>a { background: url(data:,) }</style>",
        '<script type="application/json">{"text": "https://example.org"}</script>',
        "<pre>fetch('https://example.org')</pre>",
    ],
)
def test_a_page_in_order(tmp_path, body):
    assert checked(tmp_path, body, other='<h2 id="there">') == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="gone.html">x</a>', "index.html: 'gone.html' leads to no file"),
        ('<a href="../docs/x.md">x</a>', "index.html: '../docs/x.md' leads to no file"),
        ('<a href="other.html#gone">x</a>', "index.html: 'other.html#gone' leads to no heading"),
        ('<a href="#gone">x</a>', "index.html: '#gone' leads to no heading"),
        ('<img src="https://example.org/x.png">', "loads 'https://example.org/x.png', which the site does not have"),
        ('<script src="//cdn.example.org/x.js"></script>', "loads '//cdn.example.org/x.js'"),
        ('<link rel="stylesheet" href="style.css">', "loads 'style.css'"),
        ("<style>@import 'x.css'</style>", "a style or script has '@import'"),
        ("<style>a { background: url(x.png) }</style>", "a style or script has 'url(x.png)'"),
        ("<script>fetch('x')</script>", "a style or script has 'fetch('"),
        ("<script type=module>const u = 'https://cdn.example.org'</script>", "a style or script has 'https://'"),
        ('<p style="background: url(x.png)">', "a style or script has 'url(x.png)'"),
    ],
)
def test_a_problem_is_found(tmp_path, body, problem):
    (found,) = checked(tmp_path, body, other='<h2 id="there">')
    assert problem in found


def test_a_page_too_large_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(links, "LARGEST", 10)
    assert checked(tmp_path, "<p>more than that</p>") == ["index.html: 21 bytes, more than 10"]


def test_the_command_checks_a_site(tmp_path, capsys):
    assert cli.main(["course", "check", str(tmp_path)]) == 2
    assert "expected a folder with index.html" in capsys.readouterr().err
    checked(tmp_path, "<p>good</p>")
    assert cli.main(["course", "check", str(tmp_path)]) == 0
    checked(tmp_path, '<a href="#gone">x</a>')
    assert cli.main(["course", "check", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1])["problems"] == [
        "index.html: '#gone' leads to no heading"
    ]
