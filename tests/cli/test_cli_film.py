"""Films: planes denoised as the library does, and everything else as it was."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nlmeans.cli.film.run import told_once
from PIL import Image, ImageCms

import nlmeans

from ..faults import films
from ..faults.streams import Ran

pytest.importorskip("av")

QUICK = ("--sigma", "3%", "--patch-radius", "1", "--search-radius", "2")
GROUPS = {"yuv420p": ((0,), (1, 2)), "yuv422p10le": ((0,), (1, 2)), "gray": ((0,),), "gbrp10le": ((0, 1, 2),)}
CODECS = [("libx264", "in.mp4"), ("libx265", "in.mkv"), ("mpeg4", "in.avi")]
UNEVEN = [0, 40, 80, 120, 200, 210, 250]


def expected(form: str, count: int = 7, radius: int = 2) -> list[list[np.ndarray]]:
    """What the library makes of the film."""
    before = [films.planes(form, n) for n in range(count)]
    full = 1023 if "10" in form else 255
    after: list[list[np.ndarray]] = [list(frame) for frame in before]
    for group in GROUPS[form]:
        stacked = [np.stack([f[p] for p in group], -1) if len(group) > 1 else f[group[0]] for f in before]
        results = nlmeans.denoise_frames(
            stacked,
            temporal_radius=radius,
            channel_axis=-1 if len(group) > 1 else None,
            sigma=0.03 * full,
            patch_radius=1,
            search_radius=2,
        )
        for frame, result in zip(after, results, strict=True):
            for n, place in enumerate(group):
                frame[place] = result[..., n] if len(group) > 1 else result
    return after


@pytest.mark.parametrize("form", GROUPS)
def test_without_loss_every_sample_is_the_library_s(form: str, tmp_path: Path) -> None:
    path = films.write(tmp_path / "in.mkv", form=form, times=UNEVEN)
    ran = Ran("denoise", path, *QUICK)
    assert (ran.code, ran.warnings) == (0, [])
    assert "ffv1, without loss" in ran.err
    frames, facts = films.read(tmp_path / "in.denoised.mkv")
    before = films.read(path)[1]
    assert facts == before
    assert facts["times"] == UNEVEN
    for got, want in zip(frames, expected(form), strict=True):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_model_of_the_noise_holds_for_brightness(tmp_path: Path) -> None:
    """U and V do not hold the brightness that noise grows with: theirs is taken for white."""
    path = films.write(tmp_path / "in.mkv")
    ran = Ran("denoise", path, "--noise", "poisson:gain=0.5", "--patch-radius", "1", "--search-radius", "2")
    assert (ran.code, ran.warnings) == (0, [])
    before = [films.planes("yuv420p", n) for n in range(7)]
    y, uv = [f[0] for f in before], [np.stack(f[1:], -1) for f in before]
    radii: dict[str, Any] = {"patch_radius": 1, "search_radius": 2}
    model = nlmeans.NoiseModel("poisson", gain=0.5)
    lights = nlmeans.denoise_frames(y, noise=model, **radii)
    colours = nlmeans.denoise_frames(uv, channel_axis=-1, **radii)
    got = films.read(tmp_path / "in.denoised.mkv")[0]
    for frame, light, colour in zip(got, lights, colours, strict=True):
        for a, b in zip(frame, (light, colour[..., 0], colour[..., 1]), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("codec", "name"), [("libx264", "in.mp4"), ("libx265", "in.mkv"), ("mpeg4", "in.avi")]
)
def test_sound_tags_and_turn_are_kept_and_the_codec_stays(codec: str, name: str, tmp_path: Path) -> None:
    sound = not name.endswith(".avi")
    turn = 90 if name.endswith(".mp4") else 0
    path = films.write(tmp_path / name, codec, sound=sound, rotation=turn, options={"crf": "2"})
    ran = Ran("denoise", path, *QUICK)
    assert (ran.code, ran.warnings) == (0, [])
    frames, facts = films.read(tmp_path / name.replace("in", "in.denoised"))
    before, wanted = films.read(path)
    if name.endswith(".avi"):
        wanted["times"] = facts["times"]  # which AVI counts by itself
    assert facts == wanted
    assert bool(facts["packets"]) == sound
    for n, (noisy, clean) in enumerate(zip(before, frames, strict=True)):
        assert np.abs(clean[0].astype(float) - expected("yuv420p")[n][0]).mean() < 4
        assert clean[0].std() < noisy[0].std()


def test_samples_that_lie_in_one_plane_come_back_in_one(tmp_path: Path) -> None:
    path = films.write(tmp_path / "in.mkv", form="bgr0")
    assert Ran("denoise", path, *QUICK).code == 0
    before, after = films.rgb(path), films.rgb(tmp_path / "in.denoised.mkv")
    assert films.read(tmp_path / "in.denoised.mkv")[1]["form"] == "bgr0"
    results = nlmeans.denoise_frames(
        before, channel_axis=-1, sigma=0.03 * 255, patch_radius=1, search_radius=2
    )
    for got, want in zip(after, results, strict=True):
        assert np.abs(got.astype(int) - want).max() <= 1  # channels are in another order


def test_y4m_through_pipes(tmp_path: Path) -> None:
    path = films.write(tmp_path / "in.mkv")
    assert Ran("denoise", path, "--sigma", "0", "--h", "0", "-o", tmp_path / "in.y4m").code == 0
    data = (tmp_path / "in.y4m").read_bytes()
    ran = Ran("denoise", "-", *QUICK, given=data)
    assert ran.code == 0
    (tmp_path / "out.y4m").write_bytes(ran.pixels)
    frames, facts = films.read(tmp_path / "out.y4m")
    assert facts["times"] == [40 * n for n in range(7)]
    for got, want in zip(frames, expected("yuv420p"), strict=True):
        np.testing.assert_array_equal(got[0], want[0])


def test_uneven_times_and_sound_that_y4m_leaves_out_are_named(tmp_path: Path) -> None:
    path = films.write(tmp_path / "in.mkv", times=UNEVEN, sound=True)
    ran = Ran("denoise", path, *QUICK, "-o", tmp_path / "out.y4m")
    assert ran.code == 0
    assert "the times of frames" in ran.err
    assert "all but the picture" in ran.err


def test_a_stream_that_the_container_cannot_hold_is_named(tmp_path: Path) -> None:
    path = films.write(tmp_path / "in.mp4", "libx264", sound=True)
    ran = Ran("denoise", path, *QUICK, "-o", tmp_path / "out.webm")
    assert ran.code == 0
    assert "leaves out: audio stream 1 (aac)" in ran.err
    assert films.read(tmp_path / "out.webm")[1]["codec"] == "vp9"


def test_one_frame_and_another_codec(tmp_path: Path) -> None:
    path = films.write(tmp_path / "in.mp4", "libx264", frames=1)
    assert Ran("denoise", path, *QUICK, "--codec", "ffv1", "-o", tmp_path / "out.mkv").code == 0
    frames, facts = films.read(tmp_path / "out.mkv")
    assert (len(frames), facts["codec"]) == (1, "ffv1")


def cut(path: Path, to: Path, size: int) -> Path:
    to.write_bytes(path.read_bytes()[:size])
    return to


def test_a_film_that_is_cut_short_is_done_as_far_as_it_goes_and_said_so(tmp_path: Path) -> None:
    path = films.write(tmp_path / "in.mkv", frames=12)
    short = cut(path, tmp_path / "short.mkv", path.stat().st_size // 2)
    ran = Ran("denoise", short, *QUICK)
    assert ran.code == 0
    assert "it may be cut" in ran.err
    assert 3 < len(films.read(tmp_path / "short.denoised.mkv")[0]) < 10
    assert Ran("denoise", path, "--h", "0", "-o", tmp_path / "in.y4m").code == 0
    short = cut(tmp_path / "in.y4m", tmp_path / "short.y4m", 20_000)
    assert "no whole frame" in Ran("denoise", short, *QUICK).err


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("cut", "damaged, or no film"),
        ("sound", "only sound"),
        ("png", "name .mp4 or .mkv"),
        ("codec", "no encoder nonsense"),
        ("crf", "has no --crf"),
        ("mask", "--mask is for pictures"),
        ("container", "cannot hold ffv1"),
        ("picture", "the input is a picture"),
    ],
)
def test_refused_with_the_reason_and_nothing_written(case: str, words: str, tmp_path: Path) -> None:
    path = films.write(tmp_path / "in.mp4", "libx264")
    np.save(tmp_path / "m.npy", np.ones((4, 4), np.uint8))
    arguments = {
        "cut": (cut(path, tmp_path / "cut.mp4", path.stat().st_size // 2),),
        "sound": (films.only_sound(tmp_path / "sound.mp4"),),
        "png": (path, "-o", tmp_path / "out.png"),
        "codec": (path, "--codec", "nonsense"),
        "crf": (path, "--codec", "ffv1", "--crf", "20", "-o", tmp_path / "out.mkv"),
        "mask": (path, "--mask", tmp_path / "m.npy"),
        "container": (path, "--codec", "ffv1", "-o", tmp_path / "out.webm"),
        "picture": (tmp_path / "m.npy", "-o", tmp_path / "out.mkv"),
    }[case]
    there = {p.name for p in tmp_path.iterdir()}
    ran = Ran("denoise", *arguments, *QUICK)
    assert ran.code != 0
    assert words in ran.err
    assert {p.name for p in tmp_path.iterdir()} == there


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = films.write(tmp_path / "in.mkv")
    monkeypatch.setitem(sys.modules, "av", None)
    ran = Ran("denoise", path, *QUICK)
    assert ran.code != 0
    assert "pip install 'nlmeans[video]'" in ran.err


def animation(path: Path, frames: int = 5) -> np.ndarray:
    """An animated picture of noisy colours, as Pillow writes it; its frames as they come back."""
    rng = np.random.default_rng(0)
    ramp = np.indices((40, 48)).sum(0)[..., None] % 32 * 4 + np.array([60, 80, 100])
    noisy = [np.clip(ramp + rng.normal(0, 9, ramp.shape), 0, 255).astype(np.uint8) for _ in range(frames)]
    first, *more = (Image.fromarray(frame) for frame in noisy)
    options = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=more, duration=80, loop=0, **options)
    return np.stack(shown(path)[0])


def shown(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """The frames of an animation as (H, W, 3 or 4), and the times at which they begin, in ms."""
    if path.suffix != ".webp":
        return films.rgb(path), films.read(path)[1]["times"]
    frames, times, at = [], [], 0
    with Image.open(path) as opened:
        for n in range(opened.n_frames):  # type: ignore[attr-defined]
            opened.seek(n)
            frames.append(np.asarray(opened).copy())
            times.append(at)
            at += int(opened.info["duration"])
    return frames, [*times, at] if len(set(np.diff(times))) > 1 else times


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("a.gif", "a.denoised.mkv"),
        ("a.gif", "b.apng"),
        ("a.gif", "b.webp"),
        ("a.png", "a.denoised.png"),
        ("a.png", "b.mkv"),
        ("a.webp", "a.denoised.webp"),
        ("a.webp", "b.mkv"),
    ],
)
def test_animated_pictures_are_films(name: str, target: str, tmp_path: Path) -> None:
    """Every frame, its time and its size; never the first frame alone."""
    noisy = animation(tmp_path / name)
    output = ("-o", tmp_path / target) if target.startswith("b") else ()
    ran = Ran("denoise", tmp_path / name, *QUICK, *output)
    assert (ran.code, ran.warnings) == (0, [])
    frames, times = shown(tmp_path / target)
    got = np.stack(frames)[..., :3]
    planes = noisy[..., [1, 2, 0]]  # as FFmpeg orders them
    settings = {"sigma": 0.03 * 255, "patch_radius": 1, "search_radius": 2}
    expected = np.stack(list(nlmeans.denoise_frames(planes, channel_axis=-1, **settings)))
    np.testing.assert_array_equal(got, expected[..., [2, 0, 1]])
    assert times == [0, 80, 160, 240, 320]


def test_webp_keeps_uneven_times_and_transparency(tmp_path: Path) -> None:
    """The last frame is shown as long as the mean of the others; that a profile is left out is said."""
    rng = np.random.default_rng(0)
    noisy = [np.clip(rng.normal(120, 9, (40, 48, 4)), 0, 255).astype(np.uint8) for _ in range(3)]
    for frame in noisy:
        frame[..., 3] = 255
        frame[:, :10, 3] = 90
    first, *more = (Image.fromarray(frame) for frame in noisy)
    options = {"lossless": True, "exact": True, "icc_profile": ImageCms.createProfile("sRGB")}
    options["icc_profile"] = ImageCms.ImageCmsProfile(options["icc_profile"]).tobytes()
    first.save(tmp_path / "a.webp", save_all=True, append_images=more, duration=[40, 120, 70], **options)
    ran = Ran("denoise", tmp_path / "a.webp", *QUICK)
    assert ran.code == 0
    assert "its colour profile is left out" in ran.err
    frames, times = shown(tmp_path / "a.denoised.webp")
    assert times == [0, 40, 160, 240]
    for before, after in zip(noisy, frames, strict=True):
        np.testing.assert_array_equal(after[..., 3], before[..., 3])
        assert after[..., :3].std() < 0.5 * before[..., :3].std()


def test_a_damaged_webp_leaves_nothing_behind(tmp_path: Path) -> None:
    animation(tmp_path / "a.webp")
    cut(tmp_path / "a.webp", tmp_path / "b.webp", 400)
    ran = Ran("denoise", tmp_path / "b.webp", *QUICK)
    assert ran.code == 1
    assert "damaged" in ran.err
    assert {p.name for p in tmp_path.iterdir()} == {"a.webp", "b.webp"}


def test_what_cannot_hold_an_animation_is_refused(tmp_path: Path) -> None:
    animation(tmp_path / "a.gif", 1)
    animation(tmp_path / "b.gif")
    animation(tmp_path / "c.png")
    animation(tmp_path / "d.webp")
    for name, options, words in (
        ("a.gif", (), "palette"),  # one frame: a picture
        ("b.gif", ("-o", tmp_path / "out.jpg"), "name .mp4 or .mkv"),
        ("b.gif", ("-o", tmp_path / "out.gif"), ".apng"),
        ("d.webp", ("-o", tmp_path / "out.jpg"), "name .mp4 or .mkv"),
    ):
        ran = Ran("denoise", tmp_path / name, *options)
        assert ran.code in (1, 2)
        assert words in ran.err
    for name in ("c.png", "d.webp"):
        assert "nlmeans denoise" in Ran("estimate", tmp_path / name).err


def test_scenes_that_warn_alike_are_told_of_once() -> None:
    told = told_once(["sigma is 3", "sigma is 4.5; give 5", "it may be cut", "sigma is 3.25"])
    assert told == ["sigma is 3 (and 2 more like it, of other scenes or planes)", "it may be cut"]
