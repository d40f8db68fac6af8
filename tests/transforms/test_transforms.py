"""Transforms: pictures of every form in, pictures of the same form out, with draws that nobody shares by accident."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

import blursynth as bs
from blursynth.transforms import Blur, BlurredSharp, RandomBlur

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, Dataset, IterableDataset  # noqa: E402

LENS = bs.Recipe(
    [
        ("decode", bs.kinds.Decode()),
        ("lens", bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.5, 2.0))),
        ("noise", bs.Random(bs.kinds.GaussianNoise, sigma=bs.Uniform(0.0, 0.05))),
        ("encode", bs.kinds.Encode()),
    ],
    name="lens",
)
LIGHT = bs.Recipe([bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.5, 2.0))], name="light")
CODES = np.random.default_rng(3).integers(0, 256, (20, 28, 3)).astype(np.uint8)
GRAY = CODES[..., 0]


def expected(codes: np.ndarray, seed: int, index: int, recipe: bs.Recipe = LENS) -> tuple[np.ndarray, np.ndarray]:
    frame = bs.Frame.from_uint8(codes)
    pair = recipe.sample(frame, seed=seed, index=index).pair(frame)
    return pair.blurred.to_uint8(), pair.sharp.to_uint8()


def tensor(codes: np.ndarray) -> Any:
    return torch.from_numpy(codes).movedim(-1, 0)


@pytest.mark.parametrize("recipe", ["default", "clean", LENS], ids=str)
def test_a_pair_is_that_of_the_recipe(recipe: str | bs.Recipe) -> None:
    blur = RandomBlur(recipe, seed=7, returns="pair")
    for index in range(3):
        pair = blur(CODES)
        assert isinstance(pair, BlurredSharp)
        blurred, sharp = expected(CODES, 7, index, blur.recipe)
        assert np.array_equal(pair.blurred, blurred)
        assert np.array_equal(pair.sharp, sharp)
        assert blur.draws == (blur.recipe.sample(bs.Frame.from_uint8(CODES), seed=7, index=index),)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 28), (20, 28, 1), (20, 28, 3), (2, 20, 28, 1), (2, 20, 28, 3)], ids=str)
def test_arrays_keep_their_form(shape: tuple[int, ...], dtype: type) -> None:
    picture = np.random.default_rng(1).uniform(size=shape)
    picture = (
        picture.astype(dtype) if dtype not in (np.uint8, np.uint16) else (picture * np.iinfo(dtype).max).astype(dtype)
    )
    given = picture.copy()
    pair = RandomBlur(LENS, seed=1, returns="pair")(picture)
    white = np.iinfo(dtype).max if picture.dtype.kind == "u" else 1
    for made in pair:
        assert type(made) is np.ndarray
        assert (made.shape, made.dtype) == (shape, dtype)
        assert made.flags.c_contiguous
        assert not np.shares_memory(made, picture)
    assert np.array_equal(picture, given)
    # The sharp one has only passed through codes of 8 bits (half precision has 11).
    assert np.abs(pair.sharp.astype(float) - picture).max() <= 0.51 / 255 * white + 0.001 * white
    assert np.abs(pair.blurred.astype(float) - picture).mean() > 0.01 * white


@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 20, 28), (3, 20, 28), (2, 1, 20, 28), (2, 3, 20, 28)], ids=str)
def test_tensors_keep_their_form(shape: tuple[int, ...], dtype: str) -> None:
    kind = getattr(torch, dtype)
    numbers = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    picture = (numbers * 255).to(kind) if dtype == "uint8" else numbers.to(kind)
    white = 255 if dtype == "uint8" else 1
    given = picture.clone()
    pair = RandomBlur(LENS, seed=1, returns="pair")(picture)
    for made in pair:
        assert type(made) is torch.Tensor
        assert (tuple(made.shape), made.dtype, made.device) == (shape, kind, picture.device)
        assert made.data_ptr() != picture.data_ptr()
    assert torch.equal(picture, given)
    assert (pair.sharp.double() - picture.double()).abs().max() <= (0.51 / 255 + 0.004) * white
    assert (pair.blurred.double() - picture.double()).abs().mean() > 0.01 * white


def test_all_forms_have_the_same_bytes() -> None:
    wanted = RandomBlur(LENS, seed=5)(CODES)
    assert np.array_equal(np.asarray(RandomBlur(LENS, seed=5)(Image.fromarray(CODES))), wanted)
    assert np.array_equal(RandomBlur(LENS, seed=5)(CODES[None])[0], wanted)
    assert torch.equal(RandomBlur(LENS, seed=5)(tensor(CODES)), tensor(wanted))
    floating = RandomBlur(LENS, seed=5)(tensor(CODES) / 255)
    assert torch.equal((floating * 255).round().byte(), tensor(wanted))
    permuted = tensor(CODES).contiguous().movedim(0, -1).numpy()  # another order in memory
    assert np.array_equal(RandomBlur(LENS, seed=5)(permuted), wanted)


def test_every_picture_of_a_batch_has_its_own_draw() -> None:
    batch = RandomBlur(LENS, seed=5, returns="pair")(np.stack([CODES, CODES]))
    alone = RandomBlur(LENS, seed=5, returns="pair")
    for row in range(2):
        pair = alone(CODES)
        assert np.array_equal(batch.blurred[row], pair.blurred)
        assert np.array_equal(batch.sharp[row], pair.sharp)
    assert not np.array_equal(batch.blurred[0], batch.blurred[1])


def test_pictures_of_pillow_keep_mode_and_metadata() -> None:
    picture = Image.fromarray(GRAY)
    picture.info["icc_profile"] = b"profile"
    made = RandomBlur(LENS, seed=5)(picture)
    assert (made.mode, made.size, made.info["icc_profile"]) == ("L", picture.size, b"profile")
    assert np.array_equal(np.asarray(made), RandomBlur(LENS, seed=5)(GRAY))
    assert RandomBlur(LENS, returns="pair")(Image.fromarray(CODES)).sharp.mode == "RGB"
    for mode in ("RGBA", "P", "CMYK", "I;16"):
        with pytest.raises(bs.InvalidValueError, match=rf"mode L or RGB, got {mode}.*convert"):
            RandomBlur(LENS)(Image.new(mode, (8, 8)))


def test_gray_passes_through_a_camera_with_colors() -> None:
    made = RandomBlur("default", seed=2)(GRAY)
    colors = RandomBlur("default", seed=2)(np.stack([GRAY] * 3, -1))
    assert np.abs(made - colors.astype(float) @ [0.299, 0.587, 0.114]).max() <= 0.5001


def test_light_is_blurred_between_decoding_and_encoding() -> None:
    full = bs.Recipe([bs.kinds.Decode(), *LIGHT.steps, bs.kinds.Encode()])
    assert np.array_equal(RandomBlur(LIGHT, seed=3)(CODES), RandomBlur(full, seed=3)(CODES))
    motion = bs.kinds.LinearMotion(length_px=6.0, angle_deg=20.0)
    light = bs.kinds.Decode()(bs.Frame.from_uint8(CODES))
    pair = Blur(motion, returns="pair")(CODES)
    assert np.array_equal(pair.blurred, bs.kinds.Encode()(motion(light)).to_uint8())
    assert np.array_equal(pair.sharp, CODES)
    fine = Blur(bs.kinds.GaussianBlur(sigma_px=2.0))(CODES / np.float32(255))
    assert len(np.unique(fine)) > 256  # floating-point numbers are not rounded to codes of 8 bits


def test_blur_repeats_itself_and_takes_draws() -> None:
    draw = LENS.sample(bs.Frame.from_uint8(CODES), seed=7, index=3)
    blur = Blur(draw, returns="pair")
    first, second = blur(CODES), blur(CODES)
    assert np.array_equal(first.blurred, expected(CODES, 7, 3)[0])
    assert np.array_equal(first.blurred, second.blurred)
    assert np.array_equal(pickle.loads(pickle.dumps(blur))(CODES).blurred, first.blurred)  # noqa: S301
    source = Blur(bs.Draw(draw.steps, target="source"), returns="pair")(CODES)
    assert np.array_equal(source.sharp, CODES)
    jpeg = Blur(bs.kinds.Jpeg(quality=10))(CODES[:13, :11])
    assert jpeg.shape == (13, 11, 3)


def test_a_picture_smaller_than_the_reach() -> None:
    for size in ((2, 3), (5, 9)):
        for index in range(4):
            assert RandomBlur("default", seed=index)(CODES[: size[0], : size[1]]).shape == (*size, 3)


def test_depth() -> None:
    lens = bs.Random(bs.kinds.Defocus, f_number=2.0, focus_distance_m=bs.Uniform(0.3, 0.6))
    camera = bs.kinds.SetIntrinsics(focal_length_mm=9.0, pixel_pitch_um=2.8)
    needs = bs.Recipe([bs.kinds.Decode(), camera, lens, bs.kinds.Encode()])
    frame = bs.Frame.from_uint8(CODES, depth_m=np.full((20, 28), 2.0, np.float32))
    wanted = needs.sample(frame, seed=1, index=0)(frame).to_uint8()
    assert np.array_equal(RandomBlur(needs, seed=1)(CODES, depth=np.full((20, 28), 2.0)), wanted)
    assert np.array_equal(RandomBlur(needs, seed=1)(CODES, depth=torch.full((1, 20, 28), 2.0)), wanted)
    assert torch.equal(RandomBlur(needs, seed=1)(tensor(CODES), depth=torch.full((20, 28), 2.0)), tensor(wanted))
    with pytest.raises(bs.InvalidValueError, match=r"needs the depth of the picture.*depth=depth") as error:
        RandomBlur(needs, seed=1)(CODES)
    assert error.value.field == "depth"
    with pytest.raises(bs.InvalidValueError, match="shape"):
        RandomBlur(needs, seed=1)(CODES, depth=np.ones((3, 3)))


def test_torchs_seed_decides() -> None:
    def several(blur: RandomBlur) -> list[np.ndarray]:
        return [blur(CODES) for _ in range(3)]

    torch.manual_seed(4)
    first = several(RandomBlur(LENS))
    torch.manual_seed(4)
    again = several(RandomBlur(LENS))
    rest = several(RandomBlur(LENS))
    assert all(map(np.array_equal, first, again))
    assert len({made.tobytes() for made in [*first, *rest]}) == 6
    torch.manual_seed(4)
    seed = int(torch.randint(2**63 - 1, ()))
    assert np.array_equal(first[0], expected(CODES, seed, 0)[0])

    before = torch.get_rng_state()
    own = [several(RandomBlur(LENS, generator=torch.Generator().manual_seed(9))) for _ in range(2)]
    assert all(map(np.array_equal, *own))
    several(RandomBlur(LENS, seed=9))
    assert torch.equal(torch.get_rng_state(), before)


class Pictures(Dataset):  # type: ignore[type-arg]
    def __init__(self, transform: RandomBlur) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return self.transform(tensor(CODES))


class Endless(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, transform: RandomBlur) -> None:
        self.transform = transform

    def __iter__(self) -> Any:
        return (self.transform(tensor(CODES)) for _ in range(3))


def epochs(
    pictures: Any, workers: int, *, persistent: bool = False, seed: int = 5, context: str | None = None
) -> list[bytes]:
    torch.manual_seed(seed)
    loader = DataLoader(
        pictures, batch_size=2, num_workers=workers, persistent_workers=persistent, timeout=60 if workers else 0,
        multiprocessing_context=context,
    )  # fmt: skip
    return [made.numpy().tobytes() for _ in range(2) for batch in loader for made in batch]


KINDS = {
    "global": lambda: RandomBlur(LENS),
    "seed": lambda: RandomBlur(LENS, seed=3),
    "generator": lambda: RandomBlur(LENS, generator=torch.Generator().manual_seed(3)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_and_epochs_share_no_draw(kind: str, persistent: bool) -> None:
    made = epochs(Pictures(KINDS[kind]()), 2, persistent=persistent, context="fork")
    assert len(set(made)) == 16
    assert made == epochs(Pictures(KINDS[kind]()), 2, persistent=persistent, context="fork")
    assert made != epochs(Pictures(KINDS[kind]()), 2, persistent=persistent, seed=6, context="fork")
    here = epochs(Pictures(KINDS[kind]()), 0)
    assert len(set(here)) == 16
    assert here == epochs(Pictures(KINDS[kind]()), 0)
    assert not set(here) & set(made)


def test_workers_of_an_iterable_data_set_share_no_draw() -> None:
    assert len(set(epochs(Endless(RandomBlur(LENS, seed=3)), 2, context="fork"))) == 12


@pytest.mark.slow
def test_workers_that_begin_anew() -> None:
    assert epochs(Pictures(RandomBlur(LENS, seed=3)), 2, context="spawn") == epochs(
        Pictures(RandomBlur(LENS, seed=3)), 2, context="fork"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_pickled_with_its_place_in_the_sequence(kind: str) -> None:
    blur = KINDS[kind]()
    blur(CODES)
    twin = pickle.loads(pickle.dumps(blur))  # noqa: S301
    other = copy.deepcopy(blur)
    state = torch.get_rng_state()
    wanted = blur(CODES)
    for one in (twin, other):
        torch.set_rng_state(state)
        assert np.array_equal(one(CODES), wanted)
    assert repr(twin) == repr(blur)


def test_it_composes_with_torchvision() -> None:
    # A build of torchvision for another torch raises what is no ImportError.
    v2 = pytest.importorskip("torchvision.transforms.v2", exc_type=(ImportError, RuntimeError))  # type: ignore[arg-type]
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    blur = RandomBlur(LENS, seed=5)
    assert isinstance(blur, torch.nn.Module)
    assert blur.train().eval()(CODES).shape == CODES.shape
    compose = v2.Compose([v2.CenterCrop(16), blur, v2.ToDtype(torch.float32, scale=True)])
    made, label = compose(tv_tensors.Image(tensor(CODES)), 3)
    assert type(made) is tv_tensors.Image
    assert (tuple(made.shape), made.dtype, label) == ((3, 16, 16), torch.float32, 3)
    assert torch.equal(
        torch.nn.Sequential(RandomBlur(LENS, seed=5))(tensor(CODES)), RandomBlur(LENS, seed=5)(tensor(CODES))
    )
    pair, label = RandomBlur(LENS, returns="pair")(Image.fromarray(CODES), "cat")
    assert (pair.sharp.size, label) == ((28, 20), "cat")


def test_gradients_pass() -> None:
    picture = (tensor(CODES) / 255).requires_grad_()
    made = RandomBlur(LENS, seed=5)(picture)
    made.sum().backward()
    assert float(picture.grad.abs().sum()) > 0
    assert torch.allclose(made.detach(), RandomBlur(LENS, seed=5)(picture.detach()), atol=1.01 / 255)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((3, 20, 28), np.uint8), r"shape \[H, W\].*got \(3, 20, 28\)\. Move channels last"),
        (np.zeros((20, 28, 4), np.uint8), r"1 or 3 channels, got \(20, 28, 4\)"),
        (np.zeros(20, np.uint8), r"got \(20,\)"),
        (np.zeros((0, 20, 3), np.uint8), r"got \(0, 20, 3\)"),
        (torch.zeros(20, 28, 3), r"shape \[C, H, W\].*got \(20, 28, 3\)\. Move channels first"),
        (torch.zeros(20, 28), r"got \(20, 28\)"),
        (torch.zeros(1, 2, 3, 8, 8), r"got \(1, 2, 3, 8, 8\)"),
        (np.zeros((20, 28, 3), np.int64), r"got int64"),
        (np.zeros((20, 28, 3), bool), r"got bool"),
        (torch.zeros(3, 8, 8, dtype=torch.int32), r"got torch\.int32"),
        (np.full((20, 28, 3), 255.0, np.float32), r"0\.\.1, got 255 to 255\..* Divide by the white level: image / 255\.$"),
        (torch.full((3, 8, 8), 255.0), r"0\.\.1, got 255 to 255\..* Divide by the white level: image / 255\.$"),
        (np.full((20, 28, 3), np.nan, np.float32), r"must be finite"),
        ("photo.png", r"got str"),
        (bs.Frame.from_uint8(CODES), r"got Frame.*recipe\.sample"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_what_is_no_picture_is_refused(picture: Any, message: str) -> None:
    with pytest.raises(bs.InvalidValueError, match=message):
        RandomBlur(LENS, seed=1)(picture)


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(bs.RecipeError, match="no recipe 'mixd'"):
        RandomBlur("mixd")
    with pytest.raises(bs.InvalidValueError, match="got both"):
        RandomBlur(LENS, seed=1, generator=torch.Generator())
    for seed in (-1, 1.5, "a"):
        with pytest.raises(bs.InvalidValueError, match="seed must be an integer"):
            RandomBlur(LENS, seed=seed)
    with pytest.raises(bs.InvalidValueError, match=r"torch\.Generator, got Generator"):
        RandomBlur(LENS, generator=np.random.default_rng(1))
    with pytest.raises(bs.InvalidValueError, match="'blurred' or 'pair', got 'both'"):
        RandomBlur(LENS, returns="both")
    with pytest.raises(bs.InvalidValueError, match="Use RandomBlur for a recipe"):
        Blur(LENS)
    with pytest.raises(bs.InvalidValueError, match="takes raw"):
        Blur(bs.kinds.Develop())


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np, pickle
from PIL import Image
import blursynth as bs
codes = np.zeros((9, 12, 3), np.uint8)
blur = bs.transforms.RandomBlur("clean", seed=3, returns="pair")
assert blur(codes).blurred.shape == codes.shape
assert pickle.loads(pickle.dumps(blur))(Image.fromarray(codes)).sharp.size == (12, 9)
free = bs.transforms.RandomBlur("clean")
free(codes), free(codes)
print(len({str(bs.transforms.RandomBlur("clean").forward(codes).sum()) for _ in range(2)}))
first = free.draws
free(codes)
assert free.draws != first
try:
    bs.transforms.RandomBlur("clean", generator=3)
except bs.InvalidValueError as error:
    print("refused")
"""


def test_torch_is_not_needed() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "refused"
