"""`figures` writes pictures with a stamp and results files; `verify` confirms them, and finds what was changed."""

import json

import pytest

from fpsim.errors import ArgumentError, ResultsError
from fpsim.experiments.repeating import digest
from fpsim.gallery import EXHIBITS, figures, stamp, verify
from fpsim.gallery.canvas import picture
from fpsim.gallery.pictures import text_of
from fpsim.plots.style import THEMES

QUICK = "tensor_core"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    (one,) = figures(QUICK, out=tmp_path_factory.mktemp("figures"))
    return one


def test_the_same_bytes_twice(made, tmp_path):
    (again,) = figures(QUICK, out=tmp_path)
    assert again.picture.read_bytes() == made.picture.read_bytes()
    assert again.results.read_bytes() == made.results.read_bytes()
    assert again.holds
    assert again.seconds > 0


def test_a_picture_carries_figure_settings_versions_digest_and_caption(made):
    texts = text_of(made.picture.read_bytes())
    mark = json.loads(texts["fpsim"])
    results = json.loads(made.results.read_text(encoding="utf-8"))
    assert {k: v for k, v in results.items() if k not in ("numbers", "claims")} == mark
    assert (mark["figure"], mark["digest"], mark["command"]) == (QUICK, made.digest, f"fpsim figures {QUICK}")
    assert set(mark["versions"]) == {"fpsim", "matplotlib", "numpy", "python"}
    assert (
        mark["settings"]
        == results["settings"]
        == {"orders": ["exact", "sequential", "tensor_core"], "below": 8, "above": 4}
    )
    assert texts["Description"] == mark["caption"]
    assert made.picture.stat().st_size < 300_000


@pytest.mark.parametrize("name", EXHIBITS)
def test_a_seed_is_in_the_stamp_if_there_is_one(name):
    settings = EXHIBITS[name].settings
    assert stamp.stamp(EXHIBITS[name], {}, "light")["seed"] == settings.get("seed", settings.get("seeds"))


def test_other_programs_can_read_the_picture(made):
    from matplotlib.image import imread

    height, width, _ = imread(made.picture).shape
    assert min(height, width) > 400


def test_dark_pictures_are_files_of_their_own_with_the_same_numbers(made, tmp_path):
    (dark,) = figures(QUICK, out=tmp_path, theme="dark")
    assert dark.picture.name == f"{QUICK}_dark.png"
    assert dark.digest == made.digest
    assert dark.picture.read_bytes() != made.picture.read_bytes()
    assert verify(dark.picture).confirmed
    from matplotlib.image import imread

    assert imread(dark.picture)[0, 0, :3].max() < 0.2
    assert set(THEMES) == {"light", "dark"}


def test_figures_tells_of_each_as_it_is_made(tmp_path):
    told = []
    made = figures(QUICK, QUICK, out=tmp_path, each=told.append)
    assert told == made
    assert len(made) == 1
    assert str(made[0]).splitlines()[1] == "  ok   1 + four times 2^-24 is 1: 1.0"
    assert json.loads(json.dumps(made[0].to_dict()))["holds"] is True


def test_a_picture_and_a_results_file_are_confirmed(made):
    for path in (made.picture, made.results):
        verdict = verify(path)
        assert verdict.confirmed
        assert verdict.digest == verdict.recorded == made.digest
        assert str(verdict) == f"{path}: {QUICK} confirmed, bit for bit (sha256 {made.digest[:16]})"


def changed(made, tmp_path, change):
    """A copy of the results file with something changed."""
    content = json.loads(made.results.read_text(encoding="utf-8"))
    change(content)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_changed_number_is_named(made, tmp_path):
    def change(content):
        content["numbers"]["sum"]["tensor_core"][8] = 1.0000001192092896

    verdict = verify(changed(made, tmp_path, change))
    assert not verdict.confirmed
    assert verdict.differences == [("sum.tensor_core[8]", 1.0000001192092896, 1.0)]
    assert "sum.tensor_core[8]: 1.0000001192092896 in the file, 1.0 of the rerun" in str(verdict)
    assert "changed after it was written" in str(verdict)


def test_a_changed_number_with_a_digest_that_fits_is_found(made, tmp_path):
    def change(content):
        content["numbers"]["start"][0] = 0.5
        content["digest"] = digest(content["numbers"])

    verdict = verify(changed(made, tmp_path, change))
    assert not verdict.confirmed
    assert [place for place, *_ in verdict.differences] == ["start[0]"]


def test_what_is_missing_or_more_is_named(made, tmp_path):
    def change(content):
        del content["numbers"]["start"]
        content["numbers"]["end"] = 1

    verdict = verify(changed(made, tmp_path, change))
    assert verdict.differences[0] == ("end", 1, None)
    assert [place for place, *_ in verdict.differences] == ["end", "start"]


def test_a_picture_of_other_numbers_is_found_and_explained_from_beside(made, tmp_path):
    results = json.loads(made.results.read_text(encoding="utf-8"))
    results["numbers"]["start"][0] = 0.5
    mark = json.loads(text_of(made.picture.read_bytes())["fpsim"])
    mark["digest"] = results["digest"] = digest(results["numbers"])
    path = tmp_path / "forged.png"
    path.write_bytes(stamp.stamped(picture(EXHIBITS[QUICK], results["numbers"]), mark))
    alone = verify(path)
    assert (alone.confirmed, alone.differences) == (False, [])
    path.with_suffix(".json").write_text(json.dumps(results), encoding="utf-8")
    assert verify(path).differences == [("start[0]", 0.5, 1 - 8 * 2.0**-24)]


def test_other_versions_are_mentioned_and_do_not_matter(made, tmp_path):
    def change(content):
        content["versions"]["numpy"] = "1.0"

    verdict = verify(changed(made, tmp_path, change))
    assert verdict.confirmed
    assert verdict.notes[0].startswith("written with numpy 1.0 (now ")


def set_to(name, value):
    return lambda content: content.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_to("kind", "others"), "expected a figure of fpsim, got .*, which fpsim figures did not write"),
        (set_to("version", 2), "expected a figure of version 1, got .* of version 2; use the fpsim that wrote it"),
        (set_to("figure", "harmonics"), "expected a figure's name, got 'harmonics'; did you mean harmonic"),
        (lambda content: content.pop("digest"), "expected a complete stamp, got .* without its digest"),
        (
            set_to("settings", {"below": 2}),
            "expected a figure of the settings that this fpsim has, got .* with below=2 where",
        ),
    ],
)
def test_stamps_that_cannot_be_verified(made, tmp_path, change, message):
    with pytest.raises(ResultsError, match=f"verify: {message}"):
        verify(changed(made, tmp_path, change))


def test_files_that_are_no_figures(made, tmp_path):
    png = made.picture.read_bytes()
    cases = {
        "cut.png": (png[: len(png) // 2], "expected a whole picture, got .*cut.png: it is cut short"),
        "header.png": (png[:20], "expected a whole picture, got .*: it is cut short"),
        "flipped.png": (png[:-30] + b"\0" + png[-29:], "expected a whole picture, got .*: a checksum does not fit"),
        "other.png": (plain_picture(), "expected a figure of fpsim, got .*other.png, which carries no stamp"),
        "cut.json": (made.results.read_bytes()[:200], "expected a PNG or a results file, got .*, which is damaged"),
        "list.json": (b"[1]", "which fpsim figures did not write"),
        "empty.png": (b"", "expected a PNG or a results file"),
        "deep.json": (b"[" * 100_000, "expected a PNG or a results file"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ResultsError, match=message):
            verify(path)
    with pytest.raises(ResultsError, match=r"expected a file that can be read, got .*: No such file or directory"):
        verify(tmp_path / "nothing.png")


def plain_picture():
    from fpsim.plots import style

    return style.saved_bytes(style.figure(1, 1))


def test_every_place_where_a_picture_is_cut_is_noticed(made, tmp_path):
    png = made.picture.read_bytes()
    path = tmp_path / "cut.png"
    for length in (*range(9, 60), *range(60, len(png), len(png) // 40), len(png) - 1):
        path.write_bytes(png[:length])
        with pytest.raises(ResultsError):
            verify(path)


def test_an_unknown_figure_is_refused_before_anything_is_computed(tmp_path):
    with pytest.raises(ArgumentError, match="expected a figure's name, got 'harmonc'; did you mean harmonic"):
        figures(QUICK, "harmonc", out=tmp_path)
    with pytest.raises(ArgumentError, match=r"expected a theme of light, dark, got theme='drak'; use dark"):
        figures(QUICK, out=tmp_path, theme="drak")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ResultsError, match=r"save: expected a place that can be written, got .*file"):
        figures(QUICK, out=tmp_path / "file")
