"""What a file's numbers mean, the format and type of the output, and orientation, where they meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from ..faults import files, tiffs
from ..faults.streams import Ran
from ..faults.tiffs import denoised, warnings_of

QUICK = files.QUICK
SHAPE = (24, 32)


def white(dtype: str = "u1", **options: object) -> tuple[np.ndarray, bytes]:
    pixels = files.samples(dtype, 1, SHAPE)
    pixels[:, 16:] //= 2
    return pixels, files.tiff(pixels, photometric="miniswhite", **options)


def test_zero_is_white_is_carried_into_pgm(tmp_path: Path) -> None:
    pixels, data = white()
    ran, result = denoised(data, tmp_path, "--sigma", "0", target="pgm")
    assert ran.code == 0, ran.err
    assert np.array_equal(files.decoded(result), 255 - pixels)


@pytest.mark.parametrize("target", ["pfm", "npy"])
def test_floats_keep_the_numbers_and_say_what_they_mean(target: str, tmp_path: Path) -> None:
    _, data = white()
    ran, _ = denoised(data, tmp_path, "--dtype", "float32", target=target)
    assert ran.code == 0, ran.err
    assert "0 is white" in warnings_of(ran)


def test_views_of_zero_is_white_stand_upright(tmp_path: Path) -> None:
    """The same picture lying with 0 white and standing with 0 black looks the same."""
    pixels, lying = white(extratags=[(274, 3, 1, 6, True)])
    standing = files.tiff(np.ascontiguousarray(np.rot90(255 - pixels, -1)))
    seen = []
    for n, data in enumerate((lying, standing)):
        side, noise = tmp_path / f"side{n}.png", tmp_path / f"noise{n}.png"
        ran, _ = denoised(data, tmp_path, "--side-by-side", side, "--method-noise", noise)
        assert ran.code == 0, ran.err
        seen.append((files.decoded(side).astype(int), files.decoded(noise).astype(int)))
    for one, other in zip(*seen, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 10  # sums in another order


def test_a_mask_keeps_pixels_of_every_band(tmp_path: Path) -> None:
    bands = files.samples("u2", 5, SHAPE)
    valid = np.zeros(SHAPE, bool)
    valid[6:20, 5:28] = True
    (tmp_path / "mask.tif").write_bytes(files.tiff(valid))
    data = files.tiff(bands, photometric="minisblack", planarconfig="contig", extrasamples=(0,) * 4)
    ran, result = denoised(data, tmp_path, "--mask", tmp_path / "mask.tif")
    assert ran.code == 0, ran.err
    changed = (tifffile.imread(result) != bands).all(axis=-1)
    assert not changed[~valid].any()
    assert changed[valid].mean() > 0.5


def test_volumes_by_axes_have_results_in_floats(tmp_path: Path) -> None:
    pages = [files.samples("u1", 1, SHAPE, seed=n) for n in range(4)]
    data = files.tiff(pages, description="ImageJ=1.5\nimages=4\nslices=2\nchannels=2\nhyperstack=true\n")
    ran, result = denoised(data, tmp_path, "--volume", "--dtype", "float32")
    assert ran.code == 0, ran.err
    assert tifffile.imread(result, key=range(4)).dtype == np.float32


def test_pixels_without_value_survive_conversion(tmp_path: Path) -> None:
    pixels = files.samples("u1", 1, SHAPE).astype("i4")
    pixels[:4] = -(2**31)
    data = files.tiff(pixels, extratags=[(42113, 2, None, str(-(2**31)), True)])
    ran, result = denoised(data, tmp_path, "--convert", "--sigma", "25")
    assert ran.code == 0, ran.err
    found = tifffile.imread(result)
    assert (found[:4] == -(2.0**31)).all()
    assert found[4:].min() > 0


def test_a_number_for_no_value_that_floats_do_not_hold_is_refused(tmp_path: Path) -> None:
    pixels = files.samples("f8", 1, SHAPE)
    pixels[:4] = -np.finfo("f8").max
    data = files.tiff(pixels, extratags=[(42113, 2, None, repr(float(pixels[0, 0])), True)])
    ran, result = denoised(data, tmp_path, "--dtype", "float32")
    assert ran.code == 1
    assert "GDAL_NODATA" in ran.err
    assert not result.exists()


def test_few_steps_are_counted_without_the_number_for_no_value(tmp_path: Path) -> None:
    pixels = files.samples("u1", 1, SHAPE) // 32
    pixels[:4] = 255
    data = files.tiff(pixels, extratags=[(42113, 2, None, "255", True)])
    ran, _ = denoised(data, tmp_path)
    assert "--dtype float32" in warnings_of(ran)


@pytest.mark.parametrize("bits", [17, 24])
def test_depths_that_are_read_in_one_byte_order_only_are_refused(bits: int, tmp_path: Path) -> None:
    body = b"\x40\x4b\x4c" * 40 * 40  # 5,000,000 in each
    tags = tiffs.plain(bits=bits) | {273: (4, (0,)), 278: (4, (40,)), 279: (4, (len(body),))}
    ran, _ = denoised(tiffs.by_hand(tags, body), tmp_path, "--convert")
    assert ran.code == 1
    assert f"{bits} bits is not supported" in ran.err


def test_bands_are_compared_where_all_are_numbers(tmp_path: Path) -> None:
    bands = files.samples("f4", 5, SHAPE)
    bands[3, 4, 4] = np.nan
    for name in ("a.tif", "b.tif"):
        data = files.tiff(bands, photometric="minisblack", planarconfig="contig", extrasamples=(0,) * 4)
        (tmp_path / name).write_bytes(data)
    assert Ran("compare", tmp_path / "a.tif", tmp_path / "b.tif").code == 2
    ran = Ran("compare", tmp_path / "a.tif", tmp_path / "b.tif", "--nan", "keep")
    assert ran.code == 0, ran.err
    assert "1 values without a number" in ran.out
