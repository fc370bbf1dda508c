"""Recipes by name: their columns, their scalers, and the nearest names of one that does not exist."""

import pytest

import fpsim as fp

recipe = fp.amp.recipe


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("float16", "float16 | float16 | float16 | float16 | none"),
        ("float64", "float64 | float64 | float64 | float64 | none"),
        ("float16/float32", "float16 | float16 | float32 | float16 | none"),
        ("e5m7/tfloat32", "e5m7 | e5m7 | tfloat32 | e5m7 | none"),
        ("float16_masters", "float16 | float16 | float16 | float32 masters | none"),
        ("bfloat16/float32_masters", "bfloat16 | bfloat16 | float32 | float32 masters | none"),
        ("float16_stochastic", "float16 | float16 | float16 | float16, rounded stochastically | none"),
        (
            "conv16_fc32",
            "conv float16, fc float32 | conv float16, fc float32 | float32 | conv float16, fc float32 | none",
        ),
        (
            "conv32_fc16",
            "conv float32, fc float16 | conv float32, fc float16 | float32 | conv float32, fc float16 | none",
        ),
        ("mixed_float16", "float32 | float16 | float32 | float32 | dynamic, from 32768"),
        ("mixed_bfloat16", "float32 | bfloat16 | float32 | float32 | none"),
        ("O0", "float32 | float32 | float32 | float32 | none"),
        ("O1", "float32 | float16 by op | float32 | float32 | dynamic, from 65536"),
        ("O2", "float16 | float16 | float32 | float32 masters | dynamic, from 65536"),
        ("O3", "float16 | float16 | float32 | float16 | none"),
        ("p=f32,c=f16,o=f32", "float32 | float16 | float32 | float32 | none"),
        ("p=f32,c=f16,o=f32,scaling=1024", "float32 | float16 | float32 | float32 | constant 1024"),
    ],
)
def test_a_recipe_is_spelt_out_in_columns(name, columns):
    made = recipe(name)
    assert made.name == name
    assert list(made.columns()) == ["weights", "compute", "accumulate", "update", "scaling"]
    assert " | ".join(made.columns().values()) == columns


@pytest.mark.parametrize("name", fp.amp.RECIPES)
def test_every_listed_recipe_exists_and_is_found_again(name):
    assert recipe(name) == recipe(recipe(name))
    assert recipe(name).name == name


def test_recipes_are_made_from_formats_and_policies_too():
    assert recipe(fp.float16) == recipe("float16")
    assert recipe(fp.Precision("float16/float32")) == recipe("float16/float32")
    assert recipe(fp.amp.policy("O2")).policy == recipe("O2").policy


def test_an_order_of_summation_is_part_of_a_recipe():
    made = recipe("float16/float32", order="blocked:64")
    assert made.accumulate == "float32, blocked:64"
    assert made.order == "blocked:64"


@pytest.mark.parametrize("order", ["backwards", "blocked:0"])
def test_an_order_that_does_not_exist_is_refused_at_once(order):
    with pytest.raises(fp.FpsimError):
        recipe("float32", order=order)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("flot16", "float16, bfloat16, float64, mixed_float16"),
        ("conv16", "conv32_fc16, conv16_fc32"),
        ("float16_master", "float16_masters, bfloat16_masters, float16_stochastic, float16"),
        ("float16/float99", "float16/float32, bfloat16/float32, float8_e5m2/float32, float16"),
        ("", "float32, float16/float32, mixed_float16"),
    ],
)
def test_an_unknown_recipe_lists_the_nearest(name, near):
    with pytest.raises(fp.ArgumentError) as error:
        recipe(name)
    assert str(error.value) == f"recipe: expected a recipe's name, got {name!r}; did you mean {near}?."
