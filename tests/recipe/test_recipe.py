"""Recipes: TOML, objects and JSON are the same nouns; order is typed; streams are named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth.degradations.synonyms import SYNONYMS
from blursynth.errors import InvalidValueError, RecipeError
from blursynth.records.streams import Stream
from blursynth.testing import pictures

FRAME = pictures(bs.Encoding.DISPLAY, batch=1)

HANDHELD = """
summary = "for the tests"
[[step]]
kind = "decode"
[[step]]
name = "shake"
one_of = [
    { weight = 2, kind = "random_walk_motion", length_px = { uniform = [4.0, 40.0] }, heading_deg = { uniform = [0, 360] } },
    { weight = 1, kind = "linear_motion", length_px = { log_uniform = [1.0, 9.0] } },
]
[[step]]
name = "lens"
kind = "gaussian_blur"
probability = 0.5
sigma_px = { truncated_normal = [0.6, 0.2, 0.3, 1.2] }
[[step]]
kind = "sensor"
full_well_e = { log_uniform = [2000, 20000] }
white_level_e = { same_as = "sensor2.x" }
"""


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def handheld(tmp_path: Path) -> bs.Recipe:
    return bs.load_recipe(write(tmp_path, HANDHELD.replace('white_level_e = { same_as = "sensor2.x" }\n', "")))


def test_toml_objects_and_json_agree(handheld: bs.Recipe, tmp_path: Path) -> None:
    again = bs.load_recipe(write(tmp_path, handheld.to_toml(), "again.toml"))
    assert again == handheld
    assert bs.Recipe.from_dict(json.loads(json.dumps(handheld.to_dict()))) == handheld
    assert again.sha256() == handheld.sha256()
    in_python = bs.Recipe(
        [
            ("decode", bs.kinds.Decode()),
            (
                "shake",
                bs.OneOf(
                    (
                        2,
                        bs.Random(
                            bs.kinds.RandomWalkMotion, length_px=bs.Uniform(4.0, 40.0), heading_deg=bs.Uniform(0, 360)
                        ),
                    ),
                    (1, bs.Random(bs.kinds.LinearMotion, length_px=bs.LogUniform(1.0, 9.0))),
                ),
            ),
            ("lens", bs.Maybe(0.5, bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.TruncatedNormal(0.6, 0.2, 0.3, 1.2)))),
            ("sensor", bs.Random(bs.kinds.Sensor, full_well_e=bs.LogUniform(2000, 20000))),
        ],
        summary="for the tests",
    )
    assert in_python == handheld
    assert in_python.sample(FRAME, seed=1, index=2) == handheld.sample(FRAME, seed=1, index=2)


def test_a_recipe_with_nothing_random_is_a_provenance_record(handheld: bs.Recipe) -> None:
    draw = handheld.sample(FRAME, seed=7, index=3)
    record = bs.Recipe.from_dict(draw.to_dict())
    assert handheld.is_random
    assert not record.is_random
    assert record.sample(FRAME, seed=0, index=0) == draw == record.sample(FRAME, seed=99, index=1)


def test_numbers_of_numpy_are_numbers() -> None:
    blur = bs.Random(bs.kinds.GaussianBlur, sigma_px=np.float32(0.5), aspect=np.float64(1.0))
    assert blur == bs.Random(bs.kinds.GaussianBlur, sigma_px=0.5, aspect=1.0)
    with pytest.raises(RecipeError, match=r"write Uniform\(1, 2\); for one of them, Choice\(\(1, 2\)\)"):
        bs.Random(bs.kinds.GaussianBlur, sigma_px=(1, 2))


def test_a_step_added_changes_no_other_step(handheld: bs.Recipe) -> None:
    more = bs.Recipe(
        [handheld.steps[0], ("new", bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0, 1))), *handheld.steps[1:]]
    )
    for index in range(20):
        before = handheld.sample(FRAME, seed=7, index=index)
        after = more.sample(FRAME, seed=7, index=index)
        assert all(after[name] == step for name, step in before.steps)


def test_a_field_added_changes_no_other_field() -> None:
    few = bs.Random(bs.kinds.RandomWalkMotion, length_px=bs.Uniform(1, 9))
    many = bs.Random(bs.kinds.RandomWalkMotion, anxiety=bs.Uniform(0, 0.1), length_px=bs.Uniform(1, 9))
    a, b = (s.sample(Stream(1, 2, "shake"), FRAME, {}) for s in (few, many))
    assert isinstance(a, bs.kinds.RandomWalkMotion)
    assert isinstance(b, bs.kinds.RandomWalkMotion)
    assert (a.length_px, a.seed) == (b.length_px, b.seed)


def test_streams_are_independent() -> None:
    """Two steps of one kind must not share their numbers, nor neighboring samples or seeds."""
    words = {
        Stream(seed, index, name).word()
        for seed in range(10)
        for index in range(10)
        for name in ("a", "b", "a.b", "ab")
    }
    assert len(words) == 400
    recipe = bs.Recipe([(n, bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0, 1))) for n in ("a", "b")])
    draws = [recipe.sample(FRAME, seed=0, index=i) for i in range(400)]
    pairs = np.array([[d["a"].fields()["sigma_px"], d["b"].fields()["sigma_px"]] for d in draws])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 5 / np.sqrt(400)


def test_choices_within_choices_are_independent() -> None:
    blurs = [bs.kinds.GaussianBlur(sigma_px=float(i)) for i in range(1, 4)]
    inner = bs.OneOf((1, blurs[0]), (1, blurs[1]))
    recipe = bs.Recipe([("lens", bs.OneOf((1, blurs[2]), (1, inner)))])
    drawn = [recipe.sample(FRAME, seed=0, index=i)["lens"].fields()["sigma_px"] for i in range(2000)]
    shares = [drawn.count(sigma) / 2000 for sigma in (1.0, 2.0, 3.0)]
    np.testing.assert_allclose(shares, [0.25, 0.25, 0.5], atol=0.05)  # 5 standard deviations
    twice = bs.Recipe([("lens", bs.Maybe(0.5, bs.OneOf((1, bs.Maybe(0.5, blurs[0])))))])
    happened = [
        recipe_draw["lens"] != bs.kinds.Identity()
        for recipe_draw in (twice.sample(FRAME, seed=0, index=i) for i in range(2000))
    ]
    assert abs(np.mean(happened) - 0.25) < 0.05


def test_shared_numbers() -> None:
    recipe = bs.Recipe(
        [
            ("a", bs.Random(bs.kinds.LinearMotion, length_px=bs.Uniform(1, 9))),
            ("b", bs.Random(bs.kinds.DiskBlur, diameter_px=bs.SameAs("a.length_px"))),
        ]
    )
    for i in range(5):
        draw = recipe.sample(FRAME, seed=0, index=i)
        assert draw["a"].fields()["length_px"] == draw["b"].fields()["diameter_px"]


def test_a_longer_exposure_moves_further_and_gathers_more_light(tmp_path: Path) -> None:
    text = """
    [[step]]
    kind = "decode"
    [[step]]
    kind = "exposure"
    exposure_s = { log_uniform = [0.001, 0.1] }
    metered_s = { same_as = "exposure.exposure_s" }
    [[step]]
    name = "shake"
    kind = "linear_motion"
    length_px = { product = ["exposure.exposure_s", { log_uniform = [100, 400] }], high = 30.0 }
    [[step]]
    kind = "sensor"
    full_well_e = 1e6
    white_level_e = { product = ["exposure.exposure_s", 2e5] }
    """
    path = tmp_path / "joint.toml"
    path.write_text(text.replace('metered_s = { same_as = "exposure.exposure_s" }', "metered_s = 0.1"))
    recipe = bs.load_recipe(path)
    assert bs.Recipe.from_dict(recipe.to_dict()) == recipe
    for i in range(50):
        draw = recipe.sample(FRAME, seed=3, index=i)
        time_s = draw["exposure"].fields()["exposure_s"]
        assert draw["sensor"].fields()["white_level_e"] == pytest.approx(2e5 * time_s, rel=1e-8)
        assert 100 * time_s * 0.999 <= draw["shake"].fields()["length_px"] <= min(400 * time_s * 1.001, 30.0)


def test_light_needs_no_decoding() -> None:
    """For a frame of light, as from an OpenEXR file, nothing is drawn in place of what makes light of codes."""
    light = pictures(batch=1)
    codes = bs.kinds.Encode()(light)
    recipe = bs.Recipe(
        [
            ("decode", bs.kinds.Decode()),
            ("meter", bs.kinds.Exposure(exposure_s=1.0, metered_s=2.0)),
            ("lamps", bs.kinds.HighlightExpansion(peak=9.0, threshold=0.1)),
            ("blur", bs.kinds.GaussianBlur(sigma_px=1.0)),
            ("encode", bs.kinds.Encode()),
        ]
    )
    of_codes, of_light = (recipe.sample(frame, seed=0, index=0) for frame in (codes, light))
    assert [step.kind for _, step in of_light.steps] == ["identity", "exposure", "identity", "gaussian_blur", "encode"]
    assert [step.kind for _, step in of_codes.steps][:3] == ["decode", "exposure", "highlight_expansion"]
    plain = bs.Recipe([step for step in recipe.steps if step[0] != "lamps"]).sample(codes, seed=0, index=0)
    for ours, theirs in (
        (of_light(light), plain(codes)),
        (of_light(light, margin_px=6), plain(codes, margin_px=6)),
        (of_light.pair(light).sharp, plain.pair(codes).sharp),
    ):
        assert np.abs(ours.image - theirs.image).max() <= 1.5 / 255
    with pytest.raises(InvalidValueError, match="takes a display frame"):
        of_codes(light)
    # What takes codes for light wants codes.
    chain = bs.Recipe(
        [bs.kinds.GammaDecode(gamma=1.0), bs.kinds.GaussianBlur(sigma_px=1.0), bs.kinds.GammaEncode(gamma=1.0)]
    )
    with pytest.raises(InvalidValueError, match="takes a display frame"):
        chain.sample(light, seed=0, index=0)(light)


def test_the_sharp_picture_may_be_the_source() -> None:
    steps = [
        bs.kinds.Decode(),
        bs.kinds.GaussianBlur(sigma_px=1.0),
        bs.kinds.Exposure(exposure_s=0.1, metered_s=0.2),
        bs.kinds.Encode(),
    ]
    frame = pictures(bs.Encoding.DISPLAY, batch=1)
    developed, source = bs.Recipe(steps), bs.Recipe(steps, target="source")
    assert developed.sha256() != source.sha256()
    draw = source.sample(frame, seed=0, index=0)
    assert bs.Draw.from_dict(draw.to_dict(), bs.kinds.ALL) == draw
    assert bs.Recipe.from_dict(source.to_dict()) == source
    pair = draw.pair(frame, margin_px=8)
    assert np.array_equal(pair.sharp.image, frame.image[..., 8:-8, 8:-8])
    darker = developed.sample(frame, seed=0, index=0).pair(frame, margin_px=8)
    assert np.array_equal(darker.blurred.image, pair.blurred.image)
    assert darker.sharp.image.mean() < pair.sharp.image.mean()


def test_depth_quantile_sees_the_frame() -> None:
    depth = np.linspace(1, 5, FRAME.image[0, 0].size).reshape(FRAME.size_px)
    frame = bs.Frame(FRAME.image, FRAME.encoding, depth_m=depth)
    recipe = bs.Recipe([("a", bs.Random(bs.kinds.DiskBlur, diameter_px=bs.DepthQuantile(0.25, 0.5)))])
    assert recipe.sees_frame
    for i in range(20):
        drawn = recipe.sample(frame, seed=0, index=i)["a"].fields()["diameter_px"]
        assert 2.0 <= drawn <= 3.0
    with pytest.raises(InvalidValueError, match="needs a depth map"):
        recipe.sample(bs.Frame(FRAME.image, FRAME.encoding), seed=0, index=0)


EXTENDED = """
extends = "base.toml"
remove = ["lens"]
[[step]]
name = "shake"
length_px = 3.0
[[step]]
name = "file"
kind = "jpeg"
quality = 80
[[step]]
name = "softness"
kind = "disk_blur"
diameter_px = 2.0
before = "encode"
"""

BASE = """
summary = "base"
[[step]]
kind = "decode"
[[step]]
name = "shake"
kind = "linear_motion"
length_px = { uniform = [1, 2] }
angle_deg = 45.0
[[step]]
name = "lens"
kind = "gaussian_blur"
sigma_px = 1.0
[[step]]
kind = "encode"
"""


def test_extends(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base.toml")
    recipe = bs.load_recipe(write(tmp_path, EXTENDED))
    assert [name for name, _ in recipe.steps] == ["decode", "shake", "softness", "encode", "file"]
    assert recipe.summary == "base; changed: shake, file, softness, without lens"
    draw = recipe.sample(FRAME, seed=0, index=0)
    assert draw["shake"] == bs.kinds.LinearMotion(length_px=3.0, angle_deg=45.0)


def test_changes(tmp_path: Path) -> None:
    path = write(tmp_path, BASE)
    draw = bs.load_recipe(path, changes={"shake.length_px": 20.0}).sample(FRAME, seed=0, index=0)
    assert draw["shake"].fields()["length_px"] == 20.0


CHOICE = """
summary = "two hands"
[[step]]
kind = "decode"
[[step]]
name = "shake"
[[step.one_of]]
kind = "identity"
[[step.one_of]]
kind = "linear_motion"
length_px = { uniform = [1, 2] }
angle_deg = 45.0
[[step.one_of]]
weight = 2
[[step.one_of.one_of]]
kind = "random_walk_motion"
length_px = 30.0
[[step.one_of.one_of]]
kind = "gaussian_blur"
sigma_px = 1.0
[[step]]
name = "sensor"
[[step.one_of]]
kind = "sensor"
camera = "sony-a7s2"
gain_dn_per_e = 1.0
[[step.one_of]]
kind = "sensor"
full_well_e = 4000.0
[[step]]
kind = "develop"
"""

SAME = {
    "a field of options": ({"shake.length_px": 20.0}, '[[step]]\nname = "shake"\nlength_px = 20.0'),
    "one of some options": ({"shake.sigma_px": 2}, '[[step]]\nname = "shake"\nsigma_px = 2'),
    "several": ({"shake.length_px": 9, "shake.angle_deg": 1}, '[[step]]\nname = "shake"\nlength_px = 9\nangle_deg = 1'),
    "probability": ({"shake.probability": 0.5}, '[[step]]\nname = "shake"\nprobability = 0.5'),
    "other options": ({"shake.one_of": [{"kind": "identity"}]}, '[[step]]\nname = "shake"\none_of = [{kind = "identity"}]'),
    "another kind": ({"shake.sigma_px": 2, "shake.kind": "gaussian_blur"}, '[[step]]\nname = "shake"\nkind = "gaussian_blur"\nsigma_px = 2'),
    "one name of a setting for another": ({"sensor.iso": 800}, '[[step]]\nname = "sensor"\niso = 800'),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "text"), SAME.values(), ids=list(SAME))
def test_changes_and_recipes_that_extend_have_one_rule(changes: dict[str, object], text: str, tmp_path: Path) -> None:
    changed = bs.load_recipe(write(tmp_path, CHOICE, "base.toml"), changes=changes)
    extended = bs.load_recipe(write(tmp_path, f'extends = "base.toml"\n{text}\n'))
    assert changed.to_dict()["step"] == extended.to_dict()["step"]
    assert changed.sha256() != bs.load_recipe(tmp_path / "base.toml").sha256()


def test_a_change_reaches_every_option_that_has_the_field(tmp_path: Path) -> None:
    recipe = bs.load_recipe(write(tmp_path, CHOICE), changes={"shake.length_px": 20.0})
    drawn = [recipe.sample(FRAME, seed=0, index=i)["shake"] for i in range(40)]
    assert {type(step) for step in drawn} == {
        bs.kinds.Identity,
        bs.kinds.LinearMotion,
        bs.kinds.RandomWalkMotion,
        bs.kinds.GaussianBlur,
    }
    assert {step.fields()["length_px"] for step in drawn if "length_px" in step.fields()} == {20.0}


def test_a_kind_of_ones_own_within_one_of_can_be_changed(tmp_path: Path) -> None:
    class Haze(bs.kinds.GaussianBlur):
        density: float = 0.0

    path = write(
        tmp_path, '[[step]]\nname = "air"\none_of = [{ kind = "haze", sigma_px = 1 }, { kind = "identity" }]\n'
    )
    recipe = bs.load_recipe(path, kinds=(*bs.kinds.ALL, Haze), changes={"air.density": 0.25})
    drawn = {recipe.sample(FRAME, seed=0, index=i)["air"].fields().get("density") for i in range(20)}
    assert drawn == {0.25, None}


def test_the_summary_says_what_was_changed(tmp_path: Path) -> None:
    changes = {"shake.length_px": {"uniform": [1, 2]}, "shake.probability": 0.5}
    recipe = bs.load_recipe(write(tmp_path, CHOICE), changes=changes)
    assert recipe.summary == "two hands; changed: shake.length_px = {uniform = [1, 2]}, shake.probability = 0.5"


STEP = '[[step]]\nkind = "{kind}"\n{rest}\n'

BAD = {
    "misspelled field": ('[[step]]\nname = "s"\nkind = "sensor"\nfull_wel_e = 3', "s]: has no field 'full_wel_e'. Did you mean 'full_well_e'"),
    "misspelt kind": ('[[step]]\nkind = "gausian_blur"', "There is no kind 'gausian_blur'. Did you mean 'gaussian_blur'"),
    "misspelt distribution": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = { unifrm = [1, 2] }', "Did you mean 'uniform'"),
    "no kind": ('[[step]]\nname = "x"', "needs a kind. Known"),
    "table instead of array": ('[step]\nkind = "decode"', "with double brackets"),
    "no steps": ('summary = "x"', "has no steps"),
    "unknown key": ('sumary = "x"\n[[step]]\nkind = "decode"', "no key 'sumary' at the top. Did you mean 'summary'"),
    "range below the field": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = { uniform = [-1, 2] }', "must be >= 0.0, got -1.0"),
    "unbounded in a bounded field": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = { normal = [1, 1] }', "must be >= 0.0"),
    "swapped ends": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = { uniform = [3, 2] }', "low must not exceed high"),
    "one end": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = { uniform = [3] }', r"uniform needs \[low, high\], got \[3\]"),
    "log of zero": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = { log_uniform = [0, 2] }', "low must be > 0"),
    "fraction for an integer": ('[[step]]\nkind = "jpeg"\nquality = { uniform = [1, 2] }', "must be an integer"),
    "list without choice": ('[[step]]\nkind = "jpeg"\nquality = [1, 2]', "write { choice = "),
    "text for a number": ('[[step]]\nkind = "jpeg"\nquality = "high"', "must be an integer, got 'high'"),
    "not a number": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = nan', "finite number, got nan"),
    "wrong order": ('[[step]]\nkind = "decode"\n[[step]]\nkind = "jpeg"\nquality = 3', "takes a display frame, but the step before it gives a linear"),
    "gamma blur": ('[[step]]\nkind = "decode"\n[[step]]\nkind = "encode"\n[[step]]\nkind = "gaussian_blur"\nsigma_px = 1', "Put a decode step before it"),
    "same name twice": ('[[step]]\nkind = "decode"\n[[step]]\nname = "decode"\nkind = "encode"', "the name is used twice"),
    "dot in a name": ('[[step]]\nname = "a.b"\nkind = "decode"', "without dots"),
    "same_as to nothing": ('[[step]]\nkind = "linear_motion"\nlength_px = { same_as = "shake.length_px" }', "is not an earlier step"),
    "same_as to a wrong field": ('[[step]]\nkind = "decode"\n[[step]]\nkind = "linear_motion"\nlength_px = { same_as = "decode.x" }', "has no such field"),
    "product of nothing known": ('[[step]]\nkind = "linear_motion"\nlength_px = { product = ["exposure.exposure_s", 2.0] }', "product refers to 'exposure', which is not an earlier step"),
    "product below the field": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = { product = [-1.0, { uniform = [1, 2] }] }', "must be >= 0.0, got -2.0"),
    "unknown target": ('target = "sharp"\n[[step]]\nkind = "decode"', "There is no target 'sharp'"),
    "target of another encoding": ('target = "source"\n[[step]]\nkind = "decode"', "gives the encoding it takes"),
    "bad weights": ('[[step]]\none_of = [{ weight = -1, kind = "identity" }]', "weights must be >= 0"),
    "bad probability": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = 1\nprobability = 1.5', r"probability must lie in \[0, 1\]"),
    "options disagree": ('[[step]]\none_of = [{ kind = "decode" }, { kind = "identity" }]', "options of one step must give the same encoding"),
    "extends another step": ('extends = "default"\n[[step]]\nname = "shak"\nlength_px = 3', "default has no step 'shak' to change, and a new one needs a kind. Did you mean 'shake'"),
    "another word": ('[[step]]\nkind = "gaussian_blur"\nsigma_px = { gaussian = [1, 2] }', "no distribution 'gaussian'. Did you mean 'normal'"),
    "extends nothing": ('extends = "nightmare"\n[[step]]\nkind = "decode"', "There is no recipe 'nightmare'"),
    "remove nothing": ('extends = "motion-only"\nremove = ["lents"]', "has no step 'lents'"),
    "no TOML": ("[[step\nkind", "is not valid TOML"),
    "missing asset": ('[[step]]\nkind = "measured_blur"\nkernel = { file = "none.npy" }', "no such file"),
    "black above white": ('[[step]]\nkind = "sensor"\nfull_well_e = 100\nbit_depth = 8\nblack_level_dn = 300', "must lie below the top code"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=list(BAD))
def test_bad_recipes_say_where_and_why(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text, "handheld.toml")
    with pytest.raises(RecipeError, match=message) as caught:
        bs.load_recipe(path)
    assert "handheld" in str(caught.value) or "nightmare" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("motion_blur", "motion_blur is a family: accelerated_motion, .*linear_motion, random_walk_motion"),
        ("MotionBlur", "motion_blur is a family"),
        ("uniform_blur", "uniform_blur is a family: .*gaussian_blur"),
        ("bokeh", "Did you mean 'disk_blur', 'polygon_blur' or 'defocus'"),
        ("box", "Did you mean 'linear_motion' or 'disk_blur'"),
        ("AWGN", "Did you mean 'gaussian_noise'"),
        ("gaussian noise", "Did you mean 'gaussian_noise'"),
        ("Poisson-Noise", "Did you mean 'poisson_noise'"),
        ("lens blur", "Did you mean 'disk_blur', 'polygon_blur' or 'defocus'"),
        ("jpeg compression", "Did you mean 'jpeg'"),
        ("GaussianBlur", "Did you mean 'gaussian_blur'"),
        ("sinc_blurr", "Did you mean 'sinc_blur'"),
        ("zzzzzz", "Known: 'accelerated_motion'"),
        (3, "There is no kind 3. Known: "),
    ],
)
def test_other_words_for_kinds(kind: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        bs.Recipe.from_dict({"step": [{"kind": kind}]})


def test_other_words_are_not_kinds_and_mean_some() -> None:
    known = {kind.kind for kind in bs.kinds.ALL}
    assert not known & set(SYNONYMS)
    assert {kind for meant in SYNONYMS.values() for kind in meant} <= known
    assert list(SYNONYMS) == sorted(SYNONYMS)


def test_circle_of_extends(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "b.toml"\n', "a.toml")
    write(tmp_path, 'extends = "a.toml"\n', "b.toml")
    with pytest.raises(RecipeError, match="circle"):
        bs.load_recipe(tmp_path / "a.toml")


@pytest.mark.parametrize("source", ["no-such-recipe", "missing.toml", {"step": []}, None])
def test_missing_recipes(source: str) -> None:
    with pytest.raises(RecipeError, match=r"no recipe|cannot be read|name or the path of a .toml file"):
        bs.load_recipe(source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shake": 1}, "step.field=value"),
        ({"shak.length_px": 1}, "no step 'shak'. Did you mean 'shake'"),
        ({"shake.lenth_px": 1}, "has no field 'lenth_px'. Did you mean 'length_px'"),
        ({"shake.name": "hand"}, "not its name"),
        ({"shake.before": "lens"}, "not its place"),
        ({"shake.length_px": -1.0}, "must be >= 0"),
    ],
)
def test_bad_changes(change: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        bs.load_recipe(write(tmp_path, BASE), changes=change)


def test_kernels_from_files_become_assets(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    np.save(tmp_path / "b.npy", np.eye(5))
    path = write(tmp_path, '[[step]]\nkind = "measured_blur"\nkernel = { files = "*.npy" }\n')
    recipe = bs.load_recipe(path)
    kernels = {recipe.sample(FRAME, seed=0, index=i)["measured_blur"].assets() for i in range(20)}
    assert len(kernels) == 2


def test_a_name_of_an_unknown_kernel_is_refused_at_once(tmp_path: Path) -> None:
    name = "sha256:" + "0" * 64
    with pytest.raises(RecipeError, match=r"mine.toml \[measured_blur\] kernel: .* is not loaded"):
        bs.load_recipe(write(tmp_path, f'[[step]]\nkind = "measured_blur"\nkernel = "{name}"\n'))


@pytest.mark.parametrize("name", bs.recipe_names())
def test_shipped_recipes_load_and_round_trip(name: str, tmp_path: Path) -> None:
    recipe = bs.load_recipe(name)
    assert recipe.summary
    assert recipe.takes is recipe.gives is bs.Encoding.DISPLAY
    assert bs.load_recipe(write(tmp_path, recipe.to_toml())) == recipe
    for index in range(50):
        draw = recipe.sample(FRAME, seed=1, index=index)
        assert bs.Draw.from_dict(json.loads(json.dumps(draw.to_dict())), bs.kinds.ALL) == draw
        assert len(json.dumps(draw.to_dict())) < 4000


def test_a_draw_that_cannot_be_says_where(tmp_path: Path) -> None:
    path = tmp_path / "far.toml"
    path.write_text(
        """
        [[step]]
        kind = "decode"
        [[step]]
        kind = "exposure"
        exposure_s = { uniform = [0.5, 1.0] }
        [[step]]
        name = "shake"
        kind = "linear_motion"
        length_px = { product = ["exposure.exposure_s", 9000.0] }
        """
    )
    with pytest.raises(InvalidValueError, match=r"far.toml \[shake\], sample 4 of seed 2: .*must be <= 2000"):
        bs.load_recipe(path).sample(FRAME, seed=2, index=4)


def test_of_two_names_of_a_setting_the_new_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "gain.toml"
    path.write_text('extends = "phone-night"\n[[step]]\nname = "sensor"\ngain_dn_per_e = 0.5\n')
    sensor = bs.load_recipe(path).sample(FRAME, seed=2, index=4)["sensor"]
    assert sensor.fields()["gain_dn_per_e"] == 0.5


CURVE = '[[step]]\nkind = "decode"\n[[step]]\nkind = "measured_encode"\ncurve = { files = "*.csv" }'


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (
            "0,0.1\n0.5,0.5\n1,1",
            "[measured_encode]: curve: b.csv: A response curve must start with light 0 and value 0, ",
        ),
        ("0,0\n0.5,0.6\n0.7,0.3\n1,1", "[measured_encode]: curve: b.csv: A response curve's value must never fall, "),
        (
            "0,0\n0.5,nan\n1,1",
            "r.toml curve: b.csv: A measured array (kernel, path or curve) must be non-empty and finite",
        ),
    ],
)
def test_a_curve_that_is_none_is_told_with_its_file(numbers: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("0,0\n0.5,0.7\n1,1")
    (tmp_path / "b.csv").write_text(numbers)
    (tmp_path / "r.toml").write_text(CURVE)
    with pytest.raises(RecipeError) as caught:
        bs.load_recipe(tmp_path / "r.toml")
    message = str(caught.value)
    assert words in message
    assert message.endswith(".")
    assert "sha256" not in message
    assert ".," not in message


def test_one_of_several_curves_in_a_file_is_named(tmp_path: Path) -> None:
    good, bad = "I =\n0 0.5 1\nB =\n0 0.7 1\n", "I =\n0 0.5 1\nB =\n0 0.7 0.6\n"
    (tmp_path / "curves.txt").write_text(good + bad)
    (tmp_path / "r.toml").write_text(CURVE.replace("*.csv", "curves.txt"))
    with pytest.raises(RecipeError, match=r"curves.txt \(array 2 of 2\): A response curve's value must never fall"):
        bs.load_recipe(tmp_path / "r.toml")


class Tilt(bs.Degradation):
    """A kind of somebody's own, with a name of its own."""

    kind = "my_tilt"
    angle_deg: float = 0.0
    takes = gives = None

    @classmethod
    def apply(cls, steps: Sequence[Tilt], frame: bs.Frame) -> bs.Frame:
        return frame


def test_changes_reach_fields_of_ones_own_kind_within_one_of(tmp_path: Path) -> None:
    path = write(tmp_path, '[[step]]\nname = "x"\none_of = [{ kind = "my_tilt" }, { kind = "identity" }]\n')
    kinds = (*bs.kinds.ALL, Tilt)
    recipe = bs.load_recipe(path, kinds=kinds, changes={"x.angle_deg": 3.0})
    assert recipe.to_dict()["step"][0]["one_of"][0] == {"weight": 1.0, "kind": "my_tilt", "angle_deg": 3.0}
    with pytest.raises(
        RecipeError, match=r"no option of one_of has a field 'angle'\. Did you mean 'angle_deg'"
    ) as error:
        bs.load_recipe(path, kinds=kinds, changes={"x.angle": 3.0})
    assert (error.value.place, error.value.field, error.value.value) == (f"{path.name} [x]", "angle", 3.0)


def test_files_of_an_extended_recipe_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    np.save(tmp_path / "deep" / "k.npy", np.full((3, 3), 1 / 9))
    step = '[[step]]\nname = "blur"\nkind = "measured_blur"\nkernel = { file = "k.npy" }\n'
    write(tmp_path / "deep", f'[[step]]\nkind = "decode"\n{step}', "below.toml")
    above = write(tmp_path, 'extends = "deep/below.toml"\n', "above.toml")
    assert bs.load_recipe(above) == bs.load_recipe(tmp_path / "deep" / "below.toml")
