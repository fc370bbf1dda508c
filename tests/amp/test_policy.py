"""One policy for Keras's, jmp's and Apex's languages: what each means, and that its text reads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.amp.policy import NAMED_POLICIES
from fpsim.formats import NAMED

policy, Policy = fp.amp.policy, fp.amp.Policy


def formats(p):
    return tuple(f.name for f in (p.param, p.compute, p.output, p.accumulate))


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        # jmp's defaults: params float32, compute = params, output = compute
        ("params=float32,compute=float16,output=float32", ("float32", "float16", "float32", "float32")),
        ("p=f32,c=f16,o=f32", ("float32", "float16", "float32", "float32")),
        ("c=half", ("float32", "float16", "float16", "float32")),
        ("o=f16", ("float32", "float32", "float16", "float32")),
        ("p=bf16", ("bfloat16", "bfloat16", "bfloat16", "float32")),
        ("params=full, compute=bfloat16, output=full", ("float32", "bfloat16", "float32", "float32")),
        ("p=f64", ("float64", "float64", "float64", "float64")),
        *((one, ("float32",) * 4) for one in ("full", "f32", "float32")),
        *((one, ("float16",) * 3 + ("float32",)) for one in ("half", "f16", "float16")),
        *((one, ("bfloat16",) * 3 + ("float32",)) for one in ("bf16", "bfloat16")),
        *((one, ("float64",) * 4) for one in ("f64", "float64")),
        # Keras
        ("mixed_float16", ("float32", "float16", "float32", "float32")),
        ("mixed_bfloat16", ("float32", "bfloat16", "float32", "float32")),
        # Apex
        ("O0", ("float32",) * 4),
        ("O1", ("float32", "float16", "float32", "float32")),
        ("O2", ("float16", "float16", "float32", "float32")),
        ("O3", ("float16", "float16", "float32", "float32")),
        # fpsim's own
        ("float16/float16", ("float16",) * 4),
        ("p=f32,c=f16,accumulate=float16", ("float32", "float16", "float16", "float16")),
        (fp.Precision("float16"), ("float16",) * 4),
        (fp.float8_e5m2, ("float8_e5m2",) * 3 + ("float32",)),
    ],
)
def test_what_each_spelling_means(like, expected):
    assert formats(policy(like)) == expected


def test_apexs_levels_differ_as_in_its_table():
    table = {}
    for name in ("O0", "O1", "O2", "O3"):
        p = policy(name)
        table[name] = (p.param.name, p.autocast, p.batchnorm == "wide", p.masters is not None, p.scaling)
    assert table == {
        "O0": ("float32", False, False, False, 1.0),
        "O1": ("float32", True, False, False, "apex"),
        "O2": ("float16", False, True, True, "apex"),
        "O3": ("float16", False, False, False, 1.0),
    }


def test_keras_scales_the_loss_of_mixed_float16_alone():
    scaled = [name for name in NAMED_POLICIES if name[0] != "O" and policy(name).scaler().is_enabled()]
    assert scaled == ["mixed_float16"]
    assert policy("mixed_float16").scaler().get_scale() == 2.0**15


@pytest.mark.parametrize("name", NAMED_POLICIES)
def test_named_policies_read_back(name):
    assert policy(str(policy(name))) == policy(name)


ARITHMETIC = [*(f for f in NAMED if f.specials != "scale"), fp.Format("e6m9")]
arithmetic = st.sampled_from(ARITHMETIC)


def with_masters(param):
    """Policies of these parameters, with masters that hold them or without."""
    return st.builds(
        Policy,
        param=st.just(param),
        compute=arithmetic,
        output=arithmetic,
        accumulate=st.none() | arithmetic,
        grad=st.none() | arithmetic,
        state=st.none() | arithmetic,
        masters=st.none() | st.sampled_from([f for f in ARITHMETIC if f.holds(param)]),
        batchnorm=st.sampled_from(["policy", "wide_compute", "wide"]),
        autocast=st.booleans(),
        scaling=st.sampled_from(["torch", "jmp"]) | st.floats(2.0**-100, 2.0**100),
    )


@given(arithmetic.flatmap(with_masters))
def test_the_text_of_a_policy_reads_back_to_it(p):
    assert policy(str(p)) == p
    assert eval(repr(p), {"policy": policy}) == p
    assert policy(p) is p


@pytest.mark.parametrize(
    ("scaling", "shown"),
    [(1, "StaticScaler(enabled=False)"), (128, "StaticScaler(scale=128)"), ("dynamic", "GradScaler(scale=65536)")],
)
def test_scaling_is_a_number_or_a_preset(scaling, shown):
    assert repr(Policy(scaling=scaling).scaler()) == shown


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: policy("mixed_float"),
            fp.ArgumentError,
            "policy: expected a policy's name, fields or a format, got 'mixed_float'; "
            "did you mean mixed_float16, mixed_bfloat16, float64?.",
        ),
        (
            lambda: policy("params=f32,weights=f16"),
            fp.ArgumentError,
            "policy: expected different fields as key=value, got 'weights=f16' in 'params=f32,weights=f16'; the "
            "keys are params, p, c, o, param, compute, output, accumulate, grad, state, masters, batchnorm, autocast, "
            "scaling.",
        ),
        (
            lambda: policy("p=f32,params=f16"),
            fp.ArgumentError,
            "policy: expected different fields as key=value, got 'params=f16' in 'p=f32,params=f16'; the keys are "
            "params, p, c, o, param, compute, output, accumulate, grad, state, masters, batchnorm, autocast, scaling.",
        ),
        (
            lambda: policy(fp.Precision("float32", order="sequential")),
            fp.ArgumentError,
            "policy: expected a Precision of formats alone, got Precision('float32', order='sequential'); "
            "pass the Precision itself to fp.amp.apply.",
        ),
        (
            lambda: Policy(scaling="kera"),
            fp.ArgumentError,
            "Policy: expected a number or a preset, got scaling='kera'; did you mean keras, tf_keras?.",
        ),
        (
            lambda: policy("p=f32,masters=f16"),
            fp.ArgumentError,
            "Policy: expected masters that hold the parameters, got masters=float16 for params=float32; "
            "leave masters out.",
        ),
        (
            lambda: Policy(batchnorm="keep"),
            fp.ArgumentError,
            "Policy: expected batchnorm in ('policy', 'wide_compute', 'wide'), got batchnorm='keep'; choose one.",
        ),
        (
            lambda: policy("autocast=yes"),
            fp.ArgumentError,
            "Policy: expected autocast True or False, got autocast='yes'; choose one.",
        ),
        (
            lambda: Policy(compute="float8_e8m0fnu"),
            fp.FormatError,
            "Policy: expected formats with arithmetic, got compute=float8_e8m0fnu; it codes scales only.",
        ),
    ],
)
def test_what_is_not_a_policy_names_its_remedy(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text
