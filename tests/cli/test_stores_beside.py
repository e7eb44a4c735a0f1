"""Stores with masks, guides and maps that are read by regions; transparency, fill values, sizes of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import nlmeans

from ..faults.streams import Ran

zarr = pytest.importorskip("zarr")

from .test_stores import GIVEN, QUICK, SIDE, assert_near, noisy, ome, read, record, stored, tiff  # noqa: E402


def saved(path: Path, array: np.ndarray) -> Path:
    """By the kind of file that the name says."""
    if path.suffix == ".zarr":
        zarr.create_array(path, data=array, chunks=(40,) * array.ndim)
    elif path.suffix == ".npy":
        np.save(path, array)
    else:
        tifffile.imwrite(path, array, tile=(64, 64))
    return path


def a_mask(*shape: int) -> np.ndarray:
    """True but in single pixels and in a block that is wider than a patch."""
    mask = np.random.default_rng(1).random(shape) > 0.05
    mask[..., 50:75, 55:90] = False
    return mask


@pytest.mark.parametrize("name", ["mask.zarr", "mask.npy", "mask.tif"])
def test_a_mask_is_read_by_regions(name: str, tmp_path: Path) -> None:
    image, mask = noisy(SIDE, SIDE), a_mask(SIDE, SIDE)
    image[60, 60] = np.nan  # under the mask
    path = saved(tmp_path / name, mask if name != "mask.tif" else mask.astype("u1") * 255)
    stored(tmp_path / "a.zarr", image)
    ran = Ran("denoise", tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", "--mask", path, *QUICK)
    assert ran.code == 0, ran.err
    found = read(tmp_path / "b.zarr")
    assert_near(np.nan_to_num(found), np.nan_to_num(nlmeans.denoise(image, mask=mask, **GIVEN)))
    np.testing.assert_array_equal(found[~mask], image[~mask])


@pytest.mark.parametrize("channels", [(), (2,)])
def test_a_guide_is_read_by_regions(channels: tuple[int, ...], tmp_path: Path) -> None:
    image, guide = noisy(SIDE, SIDE, dtype="uint16"), noisy(SIDE, SIDE, *channels, dtype="uint8", seed=1)
    saved(tmp_path / "guide.npy", guide)
    stored(tmp_path / "a.zarr", image)
    more = ("--guide", tmp_path / "guide.npy", "--guide-sigma", "10")
    ran = Ran("denoise", tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", *more, *QUICK)
    assert ran.code == 0, ran.err
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, guide=guide, guide_sigma=10.0, **GIVEN))


@pytest.mark.parametrize("method", ["nlmeans", "nlridge"])
def test_a_map_of_sigma_is_read_by_regions(method: str, tmp_path: Path) -> None:
    """A strength counts once, also where it multiplies the map."""
    image = noisy(SIDE, SIDE)
    sigma = np.linspace(4, 20, image.size, dtype="f4").reshape(image.shape)
    saved(tmp_path / "sigma.zarr", sigma)
    stored(tmp_path / "a.zarr", image)
    given: dict[str, Any] = {"strength": 1.3}
    more = ["--sigma-map", tmp_path / "sigma.zarr", "--strength", "1.3", "--block", "64", "--method", method]
    if method == "nlmeans":
        given |= {name: value for name, value in GIVEN.items() if name != "sigma"}
        more += QUICK[2:8]
    ran = Ran("denoise", tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", *more)
    assert ran.code == 0, ran.err
    expected = nlmeans.denoise(image, method=method, sigma=sigma, **given)
    apart = np.abs(read(tmp_path / "b.zarr") - expected)
    assert apart.max() <= (4e-4 if method == "nlmeans" else 0.5)
    assert np.sqrt(np.mean(apart**2)) <= 4e-3


def test_every_image_of_a_store_has_its_own_mask(tmp_path: Path) -> None:
    """By t, c, y, x with one mask for all channels; what is chosen is chosen from valid pixels alone."""
    image = np.stack([np.stack([noisy(70, 80, dtype="uint16", seed=n)] * 2) for n in range(2)])
    mask = np.stack([a_mask(1, 70, 80), ~a_mask(1, 70, 80)])
    mask[1, 0, :, :50] = True
    image[~np.broadcast_to(mask, image.shape)] = 60_000
    ome(tmp_path / "a.zarr", image)
    saved(tmp_path / "mask.npy", mask)
    more = ("--mask", tmp_path / "mask.npy", "--block", "32")
    assert Ran("denoise", tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", *more).code == 0
    found = read(tmp_path / "b.zarr")
    for c, chosen in enumerate(record(tmp_path / "b.zarr")["chosen"]):
        assert 10 < chosen["parameters"]["sigma"] < 14
        for t in range(2):
            own = nlmeans.Parameters.from_dict(chosen["parameters"]).to_dict()
            assert_near(found[t, c], nlmeans.denoise(image[t, c], mask=mask[t, 0], **own))


def test_a_store_is_gone_on_with_the_same_mask_only(tmp_path: Path) -> None:
    stored(tmp_path / "a.zarr", noisy(SIDE, SIDE))
    saved(tmp_path / "mask.npy", a_mask(SIDE, SIDE))
    words = ("denoise", tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", *QUICK)
    assert Ran(*words, "--mask", tmp_path / "mask.npy", "--part", "1/3").code == 0
    ran = Ran(*words)
    assert ran.code == 3
    assert "begun with another --mask" in ran.err
    saved(tmp_path / "mask.npy", ~a_mask(SIDE, SIDE))
    assert Ran(*words, "--mask", tmp_path / "mask.npy").code == 3


def test_what_does_not_fit_the_image_is_refused(tmp_path: Path) -> None:
    stored(tmp_path / "a.zarr", noisy(70, 70))
    saved(tmp_path / "stack.npy", np.ones((3, 70, 70)))
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    words = ("denoise", tmp_path / "a.zarr", "-o", tmp_path / "b.zarr", *QUICK)
    for name, reason in (("stack.npy", "it is 3 x 70 x 70"), ("mask.png", "Zarr stores, TIFF and NPY")):
        ran = Ran(*words, "--mask", tmp_path / name)
        assert ran.code != 0
        assert f"--mask {tmp_path / name}" in ran.err
        assert reason in ran.err
        assert not (tmp_path / "b.zarr").exists()


# --- what the samples of a TIFF mean ---------------------------------------------------------------


def test_transparency_is_kept_and_obeyed(tmp_path: Path) -> None:
    image = np.stack([noisy(SIDE, SIDE, dtype="uint8", seed=n) for n in range(4)], axis=-1)
    image[..., 3] = np.where(a_mask(SIDE, SIDE), 255, 0)
    path = tiff(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64))
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", "--color", "joint", *QUICK)
    assert ran.code == 0, ran.err
    found, mask = read(tmp_path / "b.zarr"), image[..., 3] > 0
    expected = nlmeans.denoise(image[..., :3], channel_axis=-1, mask=mask, color="joint", **GIVEN)
    np.testing.assert_array_equal(found[..., 3], image[..., 3])
    assert_near(found[..., :3], expected)


def test_declared_fill_values_are_no_pixels(tmp_path: Path) -> None:
    image, mask = noisy(SIDE, SIDE), a_mask(SIDE, SIDE)
    image[~mask] = -9999
    path = tiff(tmp_path / "a.tif", image, tile=(64, 64), extratags=[(42113, 2, 6, "-9999", True)])
    assert Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK).code == 0
    assert_near(read(tmp_path / "b.zarr"), nlmeans.denoise(image, mask=mask, **GIVEN))


def test_what_a_store_has_no_place_for_is_told_of(tmp_path: Path) -> None:
    image = np.stack([noisy(96, 96, dtype="uint8", seed=n) for n in range(3)], axis=-1)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        how: dict[str, Any] = {"photometric": "rgb", "tile": (64, 64)}
        writer.write(image, subifds=1, iccprofile=b"profile", description="of a slide", **how)
        writer.write(image[::2, ::2], subfiletype=1, **how)
    ran = Ran("denoise", tmp_path / "a.tif", "-o", tmp_path / "b.zarr", *QUICK)
    assert ran.code == 0, ran.err
    assert "1 lower resolution is left out" in ran.err
    assert "Zarr output leaves out: ICC profile" in ran.err
    assert zarr.open_array(tmp_path / "b.zarr").attrs["ImageDescription"] == "of a slide"


def test_a_hyperstack_of_imagej_has_the_order_of_axes_that_ome_zarr_asks_for(tmp_path: Path) -> None:
    image = noisy(2, 3, 2, 50, 60, dtype="uint16")
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "TZCYX", "finterval": 2.5})
    ran = Ran("denoise", tmp_path / "a.tif", "-o", tmp_path / "b.zarr", "--volume", *QUICK)
    assert ran.code == 0, ran.err
    described = zarr.open_group(tmp_path / "b.zarr").attrs["ome"]["multiscales"][0]
    assert "".join(axis["name"] for axis in described["axes"]) == "tczyx"
    assert described["datasets"][0]["coordinateTransformations"][0]["scale"][0] == 2.5
    found = read(tmp_path / "b.zarr")
    for t in range(2):
        for c in range(2):
            assert_near(found[t, c], nlmeans.denoise(image[t, :, c], **GIVEN))


def test_labels_beside_an_image_are_told_of(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.zarr", np.stack([[noisy(60, 60)]]))
    zarr.open_group(path).create_group("labels")
    ran = Ran("denoise", path, "-o", tmp_path / "b.zarr", *QUICK)
    assert ran.code == 0
    assert "left out: labels" in ran.err


# --- sizes of pixels -------------------------------------------------------------------------------

SHAPE = (9, 40, 44)
SLOW = ("--volume", "--sigma", "12", "--k", "0.5", "--block", "32")


def stack(path: Path, kind: str) -> np.ndarray:
    """A volume whose planes are four times as far apart as pixels, as microscopes' files say it."""
    image = noisy(*SHAPE, dtype="uint16")
    if kind == "ImageJ":
        tifffile.imwrite(
            path,
            image,
            imagej=True,
            resolution=(5, 5),
            metadata={"axes": "ZYX", "spacing": 0.8, "unit": "um"},
        )
    else:
        sizes = {"PhysicalSizeX": 200, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.2, "PhysicalSizeZ": 0.8}
        channel = {"Name": ["nuclei"]}
        tifffile.imwrite(path, image, ome=True, metadata={"axes": "ZYX", "Channel": channel, **sizes})
    return image


@pytest.mark.parametrize("kind", ["ImageJ", "OME"])
def test_planes_far_apart_count_for_less(kind: str, tmp_path: Path) -> None:
    """Radii are equally long along all axes, in pages as in stores; the store says the sizes too."""
    image = stack(tmp_path / "a.tif", kind)
    expected = nlmeans.denoise(image, sigma=12.0, k=0.5, spacing=(0.8, 0.2, 0.2))
    assert not np.array_equal(expected, nlmeans.denoise(image, sigma=12.0, k=0.5))
    ran = Ran("denoise", tmp_path / "a.tif", "-o", tmp_path / "b.tif", *SLOW[:-2])
    assert ran.code == 0, ran.err
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), expected)
    ran = Ran("denoise", tmp_path / "a.tif", "-o", tmp_path / "b.zarr", *SLOW)
    assert ran.code == 0, ran.err
    assert_near(read(tmp_path / "b.zarr"), expected)
    described = zarr.open_group(tmp_path / "b.zarr").attrs["ome"]
    image_of = described["multiscales"][0]
    assert [a["unit"] for a in image_of["axes"]] == ["micrometer"] * 3
    (scale,) = image_of["datasets"][0]["coordinateTransformations"]
    np.testing.assert_allclose(scale["scale"], (0.8, 0.2, 0.2))
    if kind == "OME":
        assert described["omero"]["channels"] == [{"label": "nuclei"}]
    assert Ran("denoise", tmp_path / "b.zarr", "-o", tmp_path / "c.zarr", *SLOW).code == 0
    spaced = nlmeans.denoise(read(tmp_path / "b.zarr"), sigma=12.0, k=0.5, spacing=(0.8, 0.2, 0.2))
    assert_near(read(tmp_path / "c.zarr"), spaced)
