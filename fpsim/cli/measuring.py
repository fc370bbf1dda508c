"""``fpsim evaluate``, ``cost`` and ``sensitivity``: what formats do to a network, and what they save.

Layer 12. Reads arguments, calls `fpsim.experiments` and `fpsim.observe`, prints and writes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fpsim import nn
from fpsim.autograd import default_precision, using
from fpsim.cli.experiments import Bar
from fpsim.cli.frame import Command, print_json
from fpsim.errors import ArgumentError, ResultsError, expected
from fpsim.experiments import SCENARIOS, Comparison, Run, load, train
from fpsim.experiments.results import write_results
from fpsim.experiments.scenario import Scenario, scenario_named

__all__ = ["COMMANDS"]


def _picture_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="PNG", help="file for the picture (none)")


def _scenario_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenario", help=f"whose network: one of {' '.join(SCENARIOS)} (published)")


def _show(report: Any, options: argparse.Namespace, picture: Any = None) -> int:
    """Print a report, and write its picture where one is asked for."""
    out = None if options.out is None else Path(options.out)
    if out is not None:
        from fpsim.plots import style

        write_results(out, style.saved_bytes(picture() if picture is not None else report.plot()))
    if options.json:
        print_json({**report.to_dict(), **({} if out is None else {"files": [str(out)]})})
    else:
        print(report.table())
        if out is not None:
            print(f"Wrote {out}.")
    return 0


def _check_picture(options: argparse.Namespace) -> None:
    """Whether the picture can be written, before anything runs."""
    if options.out is None:
        return
    out = Path(options.out)
    if out.suffix != ".png":
        raise ResultsError(
            expected(options.command.name, "a picture's name ending in .png", f"--out {out}", "rename it")
        )
    if not out.exists():
        write_results(out, b"")
        out.unlink()


# fpsim evaluate ------------------------------------------------------------------------------------------------------


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", nargs="?", help="weights (.npz, .safetensors), or results of train or compare, whose run is then "
        "trained again; without it the scenario's network is trained in float32 first",
    )  # fmt: skip
    parser.add_argument("--format", nargs="+", metavar="FORMAT", help="formats or recipes to evaluate in (six)")
    parser.add_argument("--recipe", help="whose run, where the results are of several (float32)")
    _scenario_argument(parser)
    parser.add_argument("--data", help="digits, fashion, a folder of IDX files; of transformer a text file (embedded)")
    parser.add_argument("--steps", type=int, help="of training, where nothing was trained (the scenario's)")
    parser.add_argument("--order", help="of all sums: sequential, pairwise, blocked:64, kahan, exact, blas")
    _picture_argument(parser)


def _evaluate(options: argparse.Namespace) -> int:
    from fpsim.experiments.evaluating import FORMATS, evaluate

    _check_picture(options)
    net, samples = _trained(options)
    bar = Bar()
    show = bar.of("evaluate")
    progress = None if show is None else lambda name, done, of: show(name, 0, done, of)
    report = evaluate(net, samples, options.format or FORMATS, order=options.order, progress=progress)
    bar.clear()
    return _show(report, options)


def _trained(options: argparse.Namespace) -> tuple[Any, tuple[Any, Any]]:
    """A scenario's network with trained weights, from a file or from training; and what to test it on."""
    source = None if options.source is None else Path(options.source)
    if source is not None and source.suffix in (".npz", ".safetensors"):
        scenario = scenario_named(options.scenario or "published")
        return _with_weights(scenario, scenario.load(options.data), source)
    run = None if source is None else _run_of(load(source), options)
    scenario = scenario_named(options.scenario or ("published" if run is None else run.scenario))
    bar = Bar()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        if run is None:
            settings: dict[str, Any] = {"recipe": "float32", "steps": options.steps}
        else:
            names = ("recipe", "steps", "seed", "batch", "lr")
            settings = {name: getattr(run, name) for name in names}
        again = train(**settings, scenario=scenario, data=options.data, weights=weights, progress=bar.of(scenario.name))
        bar.clear()
        if run is not None and again.loss != run.loss:
            print(
                f"fpsim evaluate: trained again, {run.recipe} gives other losses than the saved ones: with other data, "
                "other settings or another BLAS; the weights are those of this training.",
                file=sys.stderr,
            )
        return _with_weights(scenario, scenario.load(options.data), weights)


def _with_weights(scenario: Scenario, data: Any, path: Path) -> tuple[Any, tuple[Any, Any]]:
    with default_precision("float64"):
        net = _untrained(scenario, data)
    nn.load_weights(net, path)
    return net, scenario.to_test(data)


def _run_of(results: Any, options: argparse.Namespace) -> Run:
    """The run that is asked for: the only one, or of a comparison that of a recipe (and scenario)."""
    if isinstance(results, Run):
        return results
    if not isinstance(results, Comparison):
        got = type(results).__name__
        raise ResultsError(expected("evaluate", "results of train or compare", got, "choose another file"))
    part = results if options.scenario is None else results.of_scenario(scenario_named(options.scenario).name)
    if not part.runs:
        got = ", ".join(results.scenarios)
        raise ResultsError(expected("evaluate", f"results of {options.scenario}", got, "choose another --scenario"))
    if options.recipe is not None:
        return part[options.recipe]
    return part["float32"] if "float32" in part.recipes else part.runs[0]


# fpsim cost ----------------------------------------------------------------------------------------------------------


def _cost_arguments(parser: argparse.ArgumentParser) -> None:
    from fpsim.observe.decoder import PUBLISHED
    from fpsim.observe.decoder_network import ATTENTION
    from fpsim.observe.devices import DEVICES

    parser.add_argument(
        "--policy", nargs="+", default=["mixed_float16", "O2", "float16/float32"], metavar="POLICY",
        help="policies, recipes or formats, beside float32 (mixed_float16 O2 float16/float32)",
    )  # fmt: skip
    _scenario_argument(parser)
    parser.add_argument(
        "--decoder", metavar="NAME",
        help=f"a language model by its sizes alone: {' '.join(PUBLISHED)}, or layers=32,width=4096,heads=32,"
        "vocabulary=32000,context=4096 and any other field of fp.Decoder",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, help="samples a batch (32), or a decoder's sequences (1)")
    parser.add_argument("--tokens", type=int, help="a decoder's, a sequence (its context)")
    parser.add_argument("--attention", default="flash", help=f"a decoder's: {', '.join(ATTENTION)} (flash)")
    parser.add_argument("--recompute", action="store_true", help="a decoder's blocks run forward again in backward")
    parser.add_argument("--kv", metavar="FORMAT", help="of a decoder's cache, mxfp8_e4m3 too (as computed)")
    parser.add_argument("--optimizer", default="adam", help="sgd, momentum, adam or adamw (adam)")
    parser.add_argument("--device", nargs="+", metavar="DEVICE", help=f"of {', '.join(DEVICES)} (all)")
    _picture_argument(parser)


def _cost(options: argparse.Namespace) -> int:
    from fpsim.observe.cost import cost

    _check_picture(options)
    if options.batch is not None and options.batch < 1:
        raise ArgumentError(expected("cost", "a batch of at least 1", f"--batch {options.batch}", "try --batch 32"))
    carried = {name: getattr(options, name) for name in ("attention", "recompute", "kv")}
    common = {"optimizer": options.optimizer, "devices": options.device, **carried}
    if options.decoder is not None:
        if options.scenario is not None:
            raise ArgumentError(expected("cost", "--decoder or --scenario", "both", "leave one out"))
        decoder = _decoder(options.decoder)
        tokens = decoder.context if options.tokens is None else options.tokens
        shape = (1 if options.batch is None else options.batch, tokens)
        return _show(cost(decoder, shape, options.policy, **common), options)
    if options.tokens is not None:
        got = "--tokens without it"
        raise ArgumentError(expected("cost", "--decoder", got, "name a decoder, such as gpt2"))
    scenario = scenario_named(options.scenario or "published")
    data = scenario.load()
    x, _ = scenario.to_learn(data)
    of_batch = (32 if options.batch is None else options.batch, *x.shape[1:])
    example = of_batch if x.dtype.kind == "f" else np.zeros(of_batch, int)  # pixels, or codes of characters
    return _show(cost(_untrained(scenario, data), example, options.policy, **common), options)


def _decoder(text: str) -> Any:
    """A decoder by name, by its fields, or by a name and fields that differ: ``gpt2,layers=24``."""
    from fpsim.observe.decoder import FIELDS, REQUIRED, Decoder

    name: str | None = None
    given: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals and name is None and not given:
            name = key
        elif not equals or key in given or key not in FIELDS:
            got, remedy = f"{part.strip()!r} in --decoder {text}", f"the fields are {', '.join(FIELDS)}"
            raise ArgumentError(expected("cost", "a decoder's name or fields as key=value", got, remedy))
        else:
            given[key] = _field(value)
    if name is not None:
        return Decoder.named(name, **given)
    if missing := [key for key in REQUIRED if key not in given]:
        got = f"--decoder {text} without {', '.join(missing)}"
        raise ArgumentError(expected("cost", f"a decoder's {', '.join(REQUIRED)}", got, "add them"))
    return Decoder(**given)


def _field(text: str) -> Any:
    """A whole number, true or false, or a word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        return text


def _untrained(scenario: Scenario, data: Any) -> Any:
    with using(rng=np.random.default_rng(0)):
        return scenario.network_for(data)


# fpsim sensitivity ---------------------------------------------------------------------------------------------------


def _sensitivity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", nargs="?", help="trained weights, .npz or .safetensors (those at the start)")
    parser.add_argument("--format", default="float16", help="the narrow format (float16)")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of the outputs' relative deviation (0.001)")
    _scenario_argument(parser)
    parser.add_argument("--data", help="digits, fashion, or a folder of IDX files (digits)")
    parser.add_argument("--steps", type=int, default=4, help="of training in each run (4)")
    parser.add_argument("--lr", type=float, help="learning rate (the scenario's)")
    parser.add_argument("--samples", type=int, default=16, help="images, all in one batch (16)")
    _picture_argument(parser)


def _sensitivity(options: argparse.Namespace) -> int:
    from fpsim.observe.sensitivity import sensitivity

    _check_picture(options)
    scenario = scenario_named(options.scenario or "published")
    data = scenario.load(options.data)
    with default_precision("float64"):
        net = _untrained(scenario, data)
    if options.weights is not None:
        nn.load_weights(net, options.weights)
    x, y = scenario.to_learn(data)
    samples = max(options.samples, 0)
    bar = Bar()
    show = bar.of("sensitivity")
    report = sensitivity(
        net,
        (x[:samples], y[:samples]),
        options.format,
        tolerance=options.tolerance,
        steps=options.steps,
        lr=scenario.lr if options.lr is None else options.lr,
        samples=options.samples,
        loss=scenario.loss,
        progress=None if show is None else lambda run, runs: show(options.format, 0, run, runs),
    )
    bar.clear()
    return _show(report, options)


# fpsim troubles ------------------------------------------------------------------------------------------------------


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """None but ``--json``."""


def _troubles(options: argparse.Namespace) -> int:
    from fpsim.experiments.troubles import troubles

    found = troubles()
    print_json(found.to_dict()) if options.json else print(found.table())
    return 0


COMMANDS = (
    Command("evaluate", "run a trained network in other formats, beside float32", _evaluate_arguments, _evaluate),
    Command("cost", "count bytes, multiply-adds and roofline times of a network", _cost_arguments, _cost),
    Command(
        "sensitivity", "measure which layer needs which precision, role by role", _sensitivity_arguments, _sensitivity
    ),
    Command("troubles", "show what formats do to a transformer, and the cures", _no_arguments, _troubles),
)
