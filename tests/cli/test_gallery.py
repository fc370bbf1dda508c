"""`fpsim figures` and `fpsim verify`: what they print, and how they leave."""

import json

import pytest

from fpsim.cli import main
from fpsim.gallery import EXHIBITS


def test_list_names_every_figure_and_its_number(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["figures", "--list"]) == 0
    out = capsys.readouterr().out
    for name, one in EXHIBITS.items():
        assert f"{name:14}  {one.must_hit}\n" in out
        assert one.source in out
    assert main(["figures", "harmonic", "--list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["must_hit"] == EXHIBITS["harmonic"].must_hit
    assert list(tmp_path.iterdir()) == []


def test_figures_writes_and_verify_confirms(capsys, tmp_path):
    out = str(tmp_path / "new")
    assert main(["figures", "tensor_core", "--out", out]) == 0
    first, *claims, last = capsys.readouterr().out.splitlines()
    assert first.startswith("tensor_core (")
    assert all(claim.startswith("  ok   ") for claim in claims)
    assert last.startswith("1 figures in ")
    assert last.endswith(": all numbers hit.")
    files = [f"{out}/tensor_core.png", f"{out}/tensor_core.json"]
    assert main(["verify", *files]) == 0
    assert capsys.readouterr().out.count("tensor_core confirmed, bit for bit (sha256 ") == 2
    assert main(["verify", files[0], "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)
    assert (verdict["confirmed"], verdict["differences"]) == (True, [])


def test_figures_as_json_and_dark(capsys, tmp_path):
    assert main(["figures", "tensor_core", "--out", str(tmp_path), "--dark", "--json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)
    assert (made["name"], made["holds"]) == ("tensor_core", True)
    assert made["picture"].endswith("tensor_core_dark.png")


def test_a_changed_number_leaves_with_1(capsys, tmp_path):
    assert main(["figures", "tensor_core", "--out", str(tmp_path)]) == 0
    file = tmp_path / "tensor_core.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["numbers"]["start"][0] = 0.75
    file.write_text(json.dumps(content), encoding="utf-8")
    capsys.readouterr()
    assert main(["verify", str(file)]) == 1
    out = capsys.readouterr().out
    assert "NOT confirmed" in out
    assert "start[0]: 0.75 in the file, 0.9999995231628418 of the rerun" in out


def test_a_missed_number_leaves_with_1(capsys, tmp_path, monkeypatch):
    from dataclasses import replace

    from fpsim.gallery import Claim

    one = replace(EXHIBITS["tensor_core"], check=lambda numbers: [Claim("2 + 2 is 5", 4, False)])
    monkeypatch.setitem(EXHIBITS, "tensor_core", one)
    assert main(["figures", "tensor_core", "--out", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "FAIL 2 + 2 is 5: 4" in out
    assert "1 of 1 figures miss their numbers" in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["figures", "harmonc"], "figures: expected a figure's name, got 'harmonc'; did you mean harmonic"),
        (["figures", "harmonc", "--list"], "figures: expected a figure's name, got 'harmonc'; did you mean harmonic"),
        (
            ["figures", "tensor_core", "--out", "file/below"],
            "save: expected a place that can be written, got file/below",
        ),
        (["verify", "nothing.png"], "verify: expected a file that can be read, got nothing.png: No such file"),
        (["verify", "file"], "verify: expected a PNG or a results file, got file, which is damaged or another file"),
        (["verify"], "the following arguments are required: FILE"),
        (["plot", "file.json"], "load: expected a results file, got file.json, which is damaged or another file"),
        (["plot", "figure.json"], "load: expected a results file, got figure.json, which fpsim did not write"),
        (["plot", "empty.json"], "load: expected complete results, got empty.json, in which something is missing"),
        (["plot", "cut.json"], "load: expected complete results, got cut.json, in which something is missing"),
    ],
)
def test_bad_input_is_one_line_and_leaves_with_2(capsys, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "file": "x",
        "file.json": "{",
        "figure.json": '{"kind": "fpsim figure", "version": 1}',
        "empty.json": '{"kind": "fpsim results", "version": 1, "runs": [], "references": []}',
        "cut.json": '{"kind": "fpsim results", "version": 1, "run": {"recipe": "float16"}}',
    }.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert err.count("\n") == 1
