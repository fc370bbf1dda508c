"""A decoder counted from its sizes: against the built network, to the byte; against the literature; what fits where."""

import dataclasses
import json

import numpy as np
import pytest

import fpsim as fp
from fpsim import nn
from fpsim.observe.decoder import PUBLISHED, SIZES, Decoder
from fpsim.observe.decoder_cost import Growth
from fpsim.observe.devices import Device
from fpsim.observe.storage import Storage

POLICIES = [
    "float32", "O1", "O2", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16/float32", "float16_masters",
    "conv16_fc32", "p=f16,c=f32", "float8_e4m3fn/float32", "fp8_current", "fp8_delayed", "mxfp8", "mxfp4",
]  # fmt: skip
#: vocabulary, width, heads, layers, context, hidden; batch, tokens
SHAPES = [
    ((67, 32, 4, 2, 16, None), (5, 12), POLICIES),
    ((11, 6, 1, 1, 8, 7), (1, 8), ["float32", "O1", "mxfp8"]),
    ((10, 4, 4, 3, 4, None), (2, 1), ["float32", "O2", "mixed_float16"]),
]


# Against the network -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["fused", "composed"])
@pytest.mark.parametrize(("sizes", "shape", "policies"), SHAPES, ids=["small", "narrow", "one token"])
def test_what_is_counted_from_sizes_is_what_the_built_network_costs(sizes, shape, policies, attention):
    """Parameters, every part of memory, every step with its multiply-adds and bytes, under every kind of policy."""
    vocabulary, width, heads, layers, context, hidden = sizes
    built = nn.TransformerLM(*sizes[:5], hidden=hidden, attention=attention)
    decoder = Decoder(layers, width, heads, vocabulary, context, hidden=hidden)
    assert decoder.parameters == sum(p.size for p in built.parameters())
    real = fp.cost(built, np.zeros(shape, int), policies)
    counted = fp.cost(decoder, shape, policies, attention=attention, logits="all")
    assert [one.name for one in real] == [one.name for one in counted] == policies
    for theirs, ours in zip(real, counted, strict=True):
        assert ours.training == theirs.training
        assert {part: ours.inference[part] for part in theirs.inference} == theirs.inference
        assert ours.training_steps == theirs.training_steps
        assert [s for s in ours.inference_steps if s.op != "kv cache"] == list(theirs.inference_steps)
        for field in ("parameters", "columns", "optimizer", "unscaled"):
            assert getattr(ours, field) == getattr(theirs, field)


def test_layers_of_their_own_formats():
    patterns = {"*": "float32", "blocks.*": "float16/float32", "blocks.1.mlp": "bfloat16/float32"}
    real = fp.cost(nn.TransformerLM(11, 8, 2, 2, 4), np.zeros((1, 4), int), patterns)
    counted = fp.cost(Decoder(2, 8, 2, 11, 4), (1, 4), patterns, attention="fused", logits="all")
    assert counted.policies[1].training == real.policies[1].training
    assert counted.policies[1].training_steps == real.policies[1].training_steps


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_what_an_optimizer_keeps(optimizer):
    one = fp.cost(Decoder(2, 8, 2, 11, 4), (1, 4), "O2", optimizer=optimizer)["O2"]
    assert one.training["state"] == (4 * one.parameters if optimizer == "momentum" else 0)


# Against the literature ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_have_their_published_parameters(name):
    entry = PUBLISHED[name]
    assert Decoder.named(name) == entry.decoder
    if entry.exact:
        assert entry.decoder.parameters == entry.parameters
    else:  # "175B"
        assert round(entry.decoder.parameters / 1e9) == round(entry.parameters / 1e9)
    assert any(year in entry.source for year in ("2019", "2020", "2023", "2024"))


#: 4000 * (211534 tokens + 2048 positions + 32 * (12 * 4000 + 13) + 2) = 7e9
SEVEN = Decoder(32, 4000, 40, 211534, 2048)


def test_seven_billion_parameters_with_adam_are_112_gigabytes_in_float32_and_mixed_alike():
    """16 bytes a parameter: 4 + 4 + (4 + 4), or float16's 2 + 2 and a float32 master's 4 + (4 + 4)."""
    assert SEVEN.parameters == 7 * 10**9
    found = fp.cost(SEVEN, (1, 1), "O2")
    parts = ("weights", "gradients", "masters", "state")
    assert [found["float32"].training[part] for part in parts] == [28e9, 28e9, 0, 56e9]
    assert [found["O2"].training[part] for part in parts] == [14e9, 14e9, 28e9, 56e9]
    assert found["float32"].model_state == found["O2"].model_state == 112 * 10**9
    assert found["O2"].inference["weights"] == 14 * 10**9


def test_activations_of_a_block_beside_korthikantis_formula():
    """tokens * width * (34 + 5 * heads * tokens / width) bytes in 16 bits, without dropout's masks; ours, part by part.

    Theirs (section 4.1), in units of tokens * width: the norms' inputs 2 * 2, of attention its input 2, queries and
    keys 4, values 2, out's input 2 (1 is a mask), of the MLP 2 + 8 + 8 (1 is a mask): 32. In units of heads *
    tokens**2: the softmax's result 2 (dropout's result 2 and mask 1 are not there). Ours: a norm keeps its normalised
    values in float32, 4 each instead of 2, and one divisor for each token.
    """
    tokens, width, heads = 64, 32, 4
    held = [
        fp.cost(Decoder(n, width, heads, 50, tokens), (1, tokens), "float16/float32", attention="composed").policies[1]
        for n in (1, 2)
    ]
    ours = held[1].training["activations"] - held[0].training["activations"]
    theirs = tokens * width * 32 + 2 * heads * tokens**2
    norms = 2 * (2 * tokens * width + 4 * tokens)
    mask = tokens**2  # which positions are allowed, a byte each
    assert ours == theirs + norms + mask


def test_multiply_adds_of_a_training_step_by_the_rule_of_six():
    """6 operations a parameter and token (Kaplan and others 2020), forward and backward; attention's scores beside."""
    decoder, tokens = Decoder.named("gpt2"), 1024
    one = fp.cost(decoder, (1, tokens), "float32", devices="T4")["float32"]
    products = decoder.parameters - (1024 + 2) * 768 - 12 * (9 + 4) * 768  # matrices alone; the tied head is one
    scores = 2 * 12 * tokens**2 * 768
    assert sum(one.macs("inference").values()) == tokens * (products - 50257 * 768) + 50257 * 768 + scores
    # flash attention computes half of its products once more in backward
    assert sum(one.macs().values()) == 3 * (tokens * products + scores) + scores // 2


# Caches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kv", "bits"), [(None, 16), ("float8_e4m3fn", 8), ("mxfp8_e4m3", 8.25), ("mxfp4", 4.25)])
def test_the_cache_by_format(kv, bits):
    llama = Decoder.named("llama-3-8b", layers=4)
    one = fp.cost(llama, (2, 100), "bfloat16/float32", kv=kv, devices="H100").policies[1]
    assert one.inference["kv cache"] == 2 * 4 * 2 * 100 * 8 * 128 * bits / 8
    # a token more reads weights, all but the table that it looks up, and cache, once; everything else is small
    moved = one.traffic("decoding")["forward"]
    least = one.inference["weights"] - 2 * 128256 * 4096 + one.inference["kv cache"]
    assert least < moved < 1.03 * least


def test_shared_keys_and_values_make_the_cache_smaller():
    options = {"policy": "float16", "devices": "T4"}
    many, few = (fp.cost(Decoder(2, 64, 8, 100, 32, key_value_heads=n), (1, 32), **options)["float16"] for n in (8, 2))
    assert many.inference["kv cache"] == 4 * few.inference["kv cache"]
    assert many.macs("inference") != few.macs("inference")  # (projections; attention's products are as many)


@pytest.mark.parametrize(("name", "bits"), [("mxfp8", 8.25), ("mxfp6", 6.25), ("mxfp4", 4.25), ("fp8_current", 8)])
def test_quantised_weights_at_rest(name, bits):
    decoder = Decoder(2, 64, 4, 100, 32)
    one = fp.cost(decoder, (1, 8), name)[name]
    quantised = 2 * 12 * 64 * 64
    assert one.inference["weights"] == quantised * bits / 8 + 4 * (decoder.parameters - quantised)
    assert one.training["weights"] == 4 * decoder.parameters
    assert {formats.split("/")[0] for formats in one.macs("inference")} > {"float32"}


# Attention and recomputation -----------------------------------------------------------------------------------------


def test_flash_attention_keeps_a_number_a_query():
    sizes, shape = (2, 64, 4, 100, 256), (1, 256)
    kept = {
        how: fp.cost(Decoder(*sizes), shape, "float16/float32", attention=how).policies[1].training["activations"]
        for how in ("flash", "fused", "composed")
    }
    scores = 2 * 4 * 256**2
    assert kept["fused"] - kept["flash"] == 4 * scores - 2 * (4 * 4 * 256)  # (out is kept as the next layer's input)
    assert kept["composed"] - kept["flash"] == 2 * scores + 2 * 256**2 - 2 * (4 * 4 * 256)


def test_recomputation_keeps_the_inputs_of_blocks_and_one_block():
    sizes, shape = (6, 32, 4, 50, 16), (3, 16)
    plain, again = (fp.cost(Decoder(*sizes), shape, "O2", recompute=r)["O2"] for r in (False, True))
    one_block = fp.cost(dataclasses.replace(Decoder(*sizes), layers=1), shape, "O2")["O2"]
    inputs = 6 * 2 * 3 * 16 * 32
    assert again.training["activations"] == one_block.training["activations"] + inputs
    assert again.training["activations"] < plain.training["activations"]
    blocks = sum(s.macs for s in plain.training_steps if s.phase == "forward" and s.module.startswith("blocks."))
    assert sum(again.macs().values()) - sum(plain.macs().values()) == blocks
    assert again.traffic()["recompute"] > 0
    assert again.inference == plain.inference


# Growth, and what fits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("policy", ["O1", "mxfp4"])
def test_bytes_at_another_size_are_those_of_a_cost_of_that_size(policy, recompute):
    decoder = Decoder(4, 24, 3, 40, 32, mlp="swiglu", positions="rotary", norm="rms", bias=False, tied=False)
    growth = fp.cost(decoder, (1, 1), policy, recompute=recompute)[policy].growth
    for batch, tokens in ((1, 1), (3, 7), (2, 32)):
        one = fp.cost(decoder, (batch, tokens), policy, recompute=recompute)[policy]
        for mode in ("training", "inference"):
            assert growth.held(mode, batch, tokens) == one.held(mode)


@pytest.mark.parametrize("attention", ["flash", "composed"])
@pytest.mark.parametrize("mode", ["training", "inference"])
def test_the_largest_that_fits_is_the_largest(attention, mode):
    growth = fp.cost(Decoder(2, 16, 2, 20, 64), (1, 1), "float16", attention=attention)["float16"].growth
    smallest = growth.held(mode, 1, 1)
    for memory in (smallest - 1, smallest, smallest * 1.4, smallest * 3, smallest * 9):
        for key, other in (("batch", {"tokens": 1}), ("tokens", {"batch": 1})):
            found = growth.largest(mode, memory, **other)
            assert found == 0 or growth.held(mode, **{key: found}, **other) <= memory
            if key == "batch" or found < 64:
                assert growth.held(mode, **{key: found + 1}, **other) > memory


def test_seven_billion_do_not_train_where_they_run():
    fits = fp.cost(Decoder.named("llama-2-7b"), (1, 4096), "O2", devices=["H100", "B200", "RTX 4090"]).fits()
    assert [fits["O2", name]["training"]["fits"] for name in ("H100", "B200", "RTX 4090")] == [False, True, False]
    row = fits["O2", "RTX 4090"]
    assert row["inference"]["fits"]
    assert row["inference"]["bytes"] > 2 * 6738415616 + 2 * 32 * 4096 * 4096 * 2
    assert row["training"]["largest batch"] == row["training"]["longest context"] == 0
    assert fits["O2", "B200"]["training"]["longest context"] == 4096  # its own
    assert not fits["float32", "RTX 4090"]["inference"]["fits"]


def test_a_prompt_is_bound_by_arithmetic_and_a_token_by_memory():
    one = fp.cost(Decoder.named("llama-2-7b"), (1, 4096), "float16/float32", devices="H100").policies[1]
    device = fp.cost(Decoder.named("gpt2"), (1, 1), devices="H100").devices[0]
    assert one.time(device, "inference").memory_bound < 0.5
    assert one.time(device, "decoding").memory_bound > 0.99
    moved = sum(one.traffic("decoding").values())
    assert one.time(device, "decoding").seconds == pytest.approx(moved / 3.35e12, rel=0.01)


# Forms ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report():
    options = {"recompute": True, "kv": "mxfp8_e4m3"}
    return fp.cost(Decoder.named("gpt2"), (2, 512), ["O2", "mxfp8"], devices=["T4", "L4", "H200"], **options)


def test_the_report_in_all_forms(report):
    text = report.table()
    assert text.startswith("gpt2, 124,439,808 parameters, 2 x 512 tokens, adam, flash attention, blocks recomputed\n")
    for words in ("kv cache", "a prompt of 2 x 512 on", "a token more for 2 x 512 on", "fits on one device? (GB)"):
        assert words in text
    content = json.loads(report.to_json())
    assert content["decoder"]["width"] == 768
    assert content["carried"] == {"attention": "flash", "recompute": True, "kv": "mxfp8_e4m3", "logits": "last"}
    assert len(content["fits"]) == 3 * len(content["devices"])
    assert content["rows"][1]["kv format"] == "mxfp8_e4m3"
    assert content["rows"][1]["decoding seconds"].keys() == content["rows"][1]["training seconds"].keys()
    assert report._repr_html_().count("<table") == 6
    assert json.loads(report.fits("T4").to_json())["rows"][0]["device"] == "T4"
    assert report.fits("T4")._repr_html_().count("<tr") == 4


def test_large_decoders_are_told_in_gigabytes():
    assert "training, GB" in fp.cost(Decoder.named("llama-2-7b"), (1, 8), "O2", devices="H100").table()


def test_named_configurations_with_changes():
    assert Decoder.named("gpt2", width=1024, heads=16).hidden == 4096
    assert Decoder.named("llama-2-7b", context=8192).hidden == 11008
    assert Decoder.named("llama-3-8b", layers=2).key_value_heads == 8
    assert SIZES[:5] == ("layers", "width", "heads", "vocabulary", "context")


def test_a_made_up_device(report):
    tiny = Device("tiny", "edge", (), bandwidth=1, memory=0.3, watts=1, source="made up")
    row = report.fits(tiny)["mxfp8", "tiny"]
    assert row["memory"] == 0.3e9
    assert isinstance(report["mxfp8"].growth, Growth)
    assert Storage.parse("mxfp6").bits == 6.25
