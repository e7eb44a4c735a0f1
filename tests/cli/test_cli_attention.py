"""``nlmeans attention``: maps of NL-means and of learned blocks, their numbers, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nlmeans.cli.views import attention_maps as attending
from nlmeans.cli.views import pictures as views

import nlmeans
from nlmeans.attention.independence import measure

from ..faults import files
from ..faults.streams import Ran

QUICK = ("--sigma", "25", "--patch-radius", "1", "--search-radius", "2")
SETTINGS = {"sigma": 25, "patch_radius": 1, "search_radius": 2}


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """A grey 8-bit picture."""
    path = tmp_path / "noisy.png"
    path.write_bytes(files.png(files.samples("u1", 1, (24, 32))))
    return path


@pytest.fixture
def block(tmp_path: Path) -> Path:
    """A learned block of four channels: a grey picture in squares of 2 x 2."""
    torch = pytest.importorskip("torch")
    from nlmeans import learned

    torch.manual_seed(0)
    made = learned.NonLocal2d(
        4, mode="euclidean", tied=True, unit_length=True, bandwidth=0.2, zero_init=False
    )
    learned.save_weights(made, tmp_path / "block.safetensors")
    return tmp_path / "block.safetensors"


# --- NL-means ------------------------------------------------------------------------------------


def test_maps_are_drawn_beside_the_picture_and_told(noisy: Path) -> None:
    ran = Ran("attention", noisy, "--at", "5,7", "--at", "20,3", *QUICK)
    assert ran.code == 0, ran.err
    drawn = files.decoded(noisy.with_name("noisy.attention.png"))
    assert drawn.ndim == 3
    assert drawn.shape[1] > 3 * drawn.shape[0] / 2
    assert "(5, 7): " in ran.err
    assert "(20, 3): " in ran.err
    assert "these maps, by offset" in ran.err
    assert "over 256 queries" in ran.err
    assert ran.out == ""


def test_exact_maps_are_the_librarys_weights(noisy: Path) -> None:
    exact = noisy.with_name("maps.npy")
    assert Ran("attention", noisy, "--at", "5,7", "--at", "0,23", *QUICK, "-o", exact).code == 0
    maps, image = np.load(exact), files.decoded(noisy)
    for weights, at in zip(maps, ((7, 5), (23, 0)), strict=True):
        np.testing.assert_allclose(weights, nlmeans.weights(image, at, **SETTINGS), atol=1e-12)


def test_json_has_the_numbers_of_each_map_of_all_and_of_the_library(noisy: Path) -> None:
    ran = Ran("attention", noisy, "--at", "5,7", "--at", "20,9", *QUICK, "--json", "--queries", "50")
    (line,) = ran.lines
    image = files.decoded(noisy)
    assert (line["status"], line["output"]) == ("written", str(noisy.with_name("noisy.attention.png")))
    weights = nlmeans.weights(image, (7, 5), **SETTINGS)
    first = line["queries"][0]
    assert first["at"] == [5, 7]
    assert first["self_weight"] == pytest.approx(weights[7, 5])
    p = weights[weights > 0]
    assert first["perplexity"] == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert first["keys"] == np.count_nonzero(weights)
    assert line["between"]["frame"] == "offset"
    assert 0 < line["between"]["attention"] <= 1
    assert line["parameters"]["search_radius"] == 2
    assert line["independence"] == pytest.approx(measure(image, queries=50, **SETTINGS).to_dict())


def test_one_map_has_nothing_to_differ_from_and_0_queries_measure_nothing(noisy: Path) -> None:
    (line,) = Ran("attention", noisy, "--at", "5,7", *QUICK, "--queries", "0", "--json").lines
    assert line["between"] is None
    assert line["independence"] is None
    assert line["warnings"] == []


def test_a_picture_below_the_window_is_drawn_but_not_measured(noisy: Path) -> None:
    ran = Ran("attention", noisy, "--at", "5,7", "--sigma", "25", "--search-radius", "12")
    assert ran.code == 0
    assert "was not measured" in ran.err
    assert "--search-radius" not in ran.out


def test_colour_pictures_and_pages_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "colour.png"
    path.write_bytes(files.png(files.samples("u1", 3, (24, 32))))
    ran = Ran("attention", path, "--at", "5,7", *QUICK, "--page", "1")
    assert ran.code == 0, ran.err
    assert Ran("attention", path, "--at", "5,7", *QUICK, "--page", "2", "--overwrite").code == 2


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--at", "5"], 2, "no pixel"),
        (["--at", "32,0"], 2, "outside"),
        (["--at", "0,0", "--at", "0,-1"], 2, "outside"),
        (["--at", "1,1"] * 17, 2, "16 maps"),
        (["--at", "1,1", "--features", "f.npy"], 2, "give --weights too"),
        (["--at", "1,1", "--prefix", "a."], 2, "give --weights too"),
        (["--at", "1,1", "-o", "noisy.png"], 3, "input"),
        ([], 2, "--at"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_written(
    options: list[str], code: int, words: str, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(noisy.parent)
    ran = Ran("attention", "noisy.png", *options)
    assert ran.code == code
    assert words in ran.err
    assert [path.name for path in noisy.parent.iterdir()] == ["noisy.png"]


def test_an_output_that_exists_is_not_replaced(noisy: Path) -> None:
    target = noisy.with_name("noisy.attention.png")
    target.write_bytes(b"mine")
    assert Ran("attention", noisy, "--at", "5,7", *QUICK).code == 3
    assert target.read_bytes() == b"mine"
    assert Ran("attention", noisy, "--at", "5,7", *QUICK, "--overwrite").code == 0


def test_the_filters_maps_need_no_torch(noisy: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from nlmeans.cli import main\n"
        f"sys.argv = ['nlmeans', 'attention', {str(noisy)!r}, '--at', '5,7']\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_torch_a_block_is_refused_with_what_to_install(noisy: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from nlmeans.cli import main\n"
        f"sys.argv = ['nlmeans', 'attention', {str(noisy)!r}, '--at', '5,7', '--weights', 'b.safetensors']\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert "pip install 'nlmeans[torch]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_figures_are_told_as_a_reader_writes_them(noisy: Path) -> None:
    ran = Ran("attention", noisy, "--at", "5,7", "--sigma", "25.123456", "--k", "0", "--search-radius", "2")
    assert "NL-means, sigma 25.1\n" in ran.err
    assert "itself 100 %" in ran.err
    ran = Ran("weights", noisy, "--at", "5,7", "--sigma", "25.123456", "--k", "0", "--search-radius", "2")
    assert "itself has 100 %; sigma 25.1\n" in ran.err


# --- learned blocks ------------------------------------------------------------------------------


def test_a_block_sees_the_picture_in_squares(noisy: Path, block: Path) -> None:
    import torch

    from nlmeans.learned.measuring import attention_rows, read_block

    exact = noisy.with_name("maps.npy")
    ran = Ran("attention", noisy, "--at", "5,7", "--at", "31,23", "--weights", block, "-o", exact, "--json")
    assert ran.code == 0, ran.err
    (line,) = ran.lines
    assert line["similarity"] == "euclidean"
    assert line["between"]["frame"] == "position"
    pixels = torch.from_numpy(files.decoded(noisy) / np.float32(255))[None, None].float()
    x = torch.nn.functional.pixel_unshuffle(pixels, 2)
    rows = attention_rows(read_block(block), x, [(3, 2), (11, 15)])[0]
    np.testing.assert_allclose(np.load(exact), rows, atol=1e-7)
    assert line["queries"][0]["self_weight"] == pytest.approx(rows[0, 3, 2])
    drawn = Ran("attention", noisy, "--at", "5,7", "--weights", block)
    assert drawn.code == 0, drawn.err
    assert "euclidean block on 12 x 16 positions" in drawn.err


def test_a_block_sees_given_features_instead(noisy: Path, block: Path) -> None:
    features = noisy.with_name("features.npy")
    np.save(features, np.random.default_rng(0).normal(size=(4, 6, 8)).astype(np.float32))
    exact = noisy.with_name("maps.npy")
    ran = Ran("attention", noisy, "--at", "5,7", "--weights", block, "--features", features, "-o", exact)
    assert ran.code == 0, ran.err
    assert np.load(exact).shape == (1, 6, 8)
    np.save(features, np.zeros((3, 6, 8), np.float32))
    ran = Ran("attention", noisy, "--at", "5,7", "--weights", block, "--features", features)
    assert ran.code == 2
    assert "4 channels, --features has 3" in ran.err


@pytest.mark.parametrize(("pixels", "side"), [(37, 2), (25, 2), (8, 3), (11, 3), (5, 3)])
def test_a_pixel_is_found_in_its_own_square(pixels: int, side: int) -> None:
    positions = pixels // side
    for pixel in range(positions * side):
        assert attending._position(pixel, positions, pixels, side) == pixel // side
    assert attending._position(pixels - 1, positions, pixels, side) == positions - 1
    assert attending._position(pixels - 1, 3, pixels, None) == 2


LYING = np.lib.format.magic(1, 0) + b"\x76\x00"
LYING += b"{'descr': '<f4', 'fortran_order': False, 'shape': (8, 1000000, 1000000), }".ljust(117) + b"\n"


@pytest.mark.parametrize(
    "content", [b"", b"no numpy", b"\x80\x04.", LYING, np.zeros(3), np.zeros((1, 2, 3), int)]
)
def test_features_that_are_none_are_refused(content: object, noisy: Path, block: Path) -> None:
    features = noisy.with_name("features.npy")
    if isinstance(content, bytes):
        features.write_bytes(content)
    else:
        np.save(features, content)
    ran = Ran("attention", noisy, "--at", "5,7", "--weights", block, "--features", features)
    assert ran.code in (1, 2)
    assert "features" in ran.err
    assert "Traceback" not in ran.err
    assert "allow_pickle" not in ran.err
    assert "allocate" not in ran.err
    assert not noisy.with_name("noisy.attention.png").exists()


def test_weights_that_are_none_or_of_another_kind_are_refused(noisy: Path, block: Path) -> None:
    pytest.importorskip("torch")
    from nlmeans import learned
    from nlmeans.learned import save_weights

    ran = Ran("attention", noisy, "--at", "5,7", "--weights", noisy)
    assert ran.code != 0
    assert "safetensors" in ran.err
    assert Ran("attention", noisy, "--at", "5,7", "--weights", noisy.with_name("none")).code != 0
    save_weights(learned.NonLocal2d(32), noisy.with_name("wide.safetensors"))
    ran = Ran("attention", noisy, "--at", "5,7", "--weights", noisy.with_name("wide.safetensors"))
    assert ran.code == 2
    assert "--features" in ran.err
    save_weights(learned.NonLocal1d(4), noisy.with_name("line.safetensors"))
    ran = Ran("attention", noisy, "--at", "5,7", "--weights", noisy.with_name("line.safetensors"))
    assert ran.code == 2
    assert "1 grid axes" in ran.err
    ran = Ran("attention", noisy, "--at", "5,7", "--weights", block, "--sigma", "20")
    assert ran.code == 2
    assert "--sigma is of NL-means" in ran.err


# --- the picture ---------------------------------------------------------------------------------


def test_what_is_looked_at_is_lit_and_the_rest_darkened() -> None:
    picture = np.full((9, 12), 100, np.uint8)
    weights = np.full((9, 12), 1e-30)
    weights[4, 6] = 1.0
    drawn = views.attention_maps(picture, [weights], [(2, 3)], size=1)
    assert drawn.shape == (views.BAND + 9, 12 + views.GAP + 12, 3)
    beside = drawn[views.BAND :, 12 + views.GAP :]
    assert beside[4, 6].tolist() == [255, 255, 255]
    assert beside[8, 11].tolist() == [50, 50, 50]
    assert drawn[views.BAND + 8, 11].tolist() == [100, 100, 100]
    assert (drawn[:, :12] == (0, 200, 255)).all(-1).any()


def test_maps_far_from_each_other_are_each_enlarged() -> None:
    """Together they were dots of some pixels in a large dark picture."""
    picture = np.full((200, 200), 100, np.uint8)
    maps = np.zeros((2, 200, 200))
    for weights, (y, x) in zip(maps, at := [(20, 30), (170, 160)], strict=True):
        weights[y - 2 : y + 3, x - 2 : x + 3] = 1 / 25
    drawn = views.attention_maps(picture, maps, at)
    height, side = drawn.shape[0] - views.BAND, 13  # with a margin of 4
    lit = (drawn[:, 2 * height :] == 255).all(-1)
    assert lit[views.BAND :].sum() > (5 * (height // side)) ** 2
    together = views.attention_maps(picture, maps[:1], [(20, 30)])
    assert (together == 255).all(-1)[views.BAND :, 500:].sum() > 10_000


def test_a_coarse_map_is_spread_over_the_pixels_it_stands_for() -> None:
    spread = views.spread(np.arange(6.0).reshape(2, 3), (4, 6))
    np.testing.assert_array_equal(spread, np.arange(6.0).reshape(2, 3).repeat(2, 0).repeat(2, 1))
    assert views.spread(np.ones((2, 3)), (5, 7)).shape == (5, 7)


def test_what_no_map_reaches_is_cut_off() -> None:
    weights = np.zeros((100, 80))
    weights[50, 40] = weights[55, 42] = 1
    assert views.surroundings([weights], [(48, 40)]) == (slice(44, 60), slice(36, 47))


def test_a_picture_without_noise_has_no_attention_to_measure(tmp_path: Path) -> None:
    """It was said to have no valid pixel."""
    (tmp_path / "a.npy").write_bytes(files.npy(np.add.outer(np.arange(40.0), np.arange(50.0))))
    ran = Ran("attention", tmp_path / "a.npy", "--at", "20,20", "--sigma", 0, "-o", tmp_path / "out.png")
    assert "no noise was found, so that each pixel is kept" in " ".join(ran.err.split())
    assert "give --sigma or --h" in " ".join(ran.err.split())
