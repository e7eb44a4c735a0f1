"""NIfTI: the space of a scan is kept, scaled integers are not rounded, a record lies beside the result."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from nlmeans.cli.formats import reading
from nlmeans.cli.formats.limits import Limits

import nlmeans

from ..faults import files
from ..faults.streams import Ran

nibabel = pytest.importorskip("nibabel")

QUICK = ("--sigma", "20", "--patch-radius", "1", "--search-radius", "1,2,2")


def scan(dtype: str = "i2", volumes: int = 0) -> np.ndarray:
    """(X, Y, Z) or (X, Y, Z, volumes): a ball in noise of 20."""
    x, y, z = np.meshgrid(np.arange(16), np.arange(14), np.arange(6), indexing="ij")
    ball = 500 + 300.0 * ((x - 8) ** 2 + (y - 7) ** 2 + 4 * (z - 3) ** 2 < 30)
    count = max(volumes, 1)
    noisy = ball[..., None] + np.random.default_rng(0).normal(0, 20, (*ball.shape, count))
    noisy = noisy if volumes else noisy[..., 0]
    return noisy.astype(dtype) if dtype[-2] == "f" else np.rint(noisy).astype(dtype)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "f4", ">f8"])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_header_and_type_are_kept_and_z_is_a_grid_axis(
    name: str, dtype: str, version: int, tmp_path: Path
) -> None:
    voxels = scan("f8").clip(0, 255).astype(dtype) if dtype == "u1" else scan(dtype)
    path = write(tmp_path / name, files.nifti(voxels, version, descrip=b"made here", cal_max=900))
    ran = Ran("denoise", path, *QUICK)
    assert (ran.code, ran.warnings) == (0, [])
    out = nibabel.load(tmp_path / name.replace("scan", "scan.denoised"))
    before = nibabel.load(path)
    expected = nlmeans.denoise(
        np.ascontiguousarray(voxels.T), sigma=20, patch_radius=1, search_radius=(1, 2, 2)
    )
    np.testing.assert_array_equal(np.asanyarray(out.dataobj), expected.T)
    assert out.get_data_dtype() == before.get_data_dtype()
    np.testing.assert_array_equal(out.affine, before.affine)
    for field in ("pixdim", "qform_code", "sform_code", "descrip", "cal_max", "dim"):
        np.testing.assert_array_equal(out.header[field], before.header[field], field)


def test_each_volume_of_a_series_is_denoised_by_itself(tmp_path: Path) -> None:
    voxels = scan("f4", 3)
    path = write(tmp_path / "dwi.nii", files.nifti(voxels, 1))
    assert Ran("denoise", path, *QUICK).code == 0
    out = np.asanyarray(nibabel.load(tmp_path / "dwi.denoised.nii").dataobj)
    assert out.shape == voxels.shape
    for n in range(3):
        alone = np.ascontiguousarray(voxels[..., n].T)
        expected = nlmeans.denoise(alone, sigma=20, patch_radius=1, search_radius=(1, 2, 2))
        np.testing.assert_array_equal(out[..., n], expected.T)
    record = json.loads((tmp_path / "dwi.denoised.json").read_text())
    assert record["GeneratedBy"] == [{"Name": "nlmeans", "Version": nlmeans.__version__}]
    assert record["Sources"] == ["dwi.nii"]
    assert [v["parameters"]["sigma"] for v in record["Volumes"]] == [20.0] * 3


def test_scaled_integers_become_floats_and_are_not_rounded_to_their_steps(tmp_path: Path) -> None:
    stored = scan("i2")
    path = write(tmp_path / "a.nii.gz", files.nifti(stored, 1, slope=0.5))
    real = (stored * 0.5).astype("f4")
    ran = Ran("denoise", path, "--sigma", "10", *QUICK[2:])
    assert ran.code == 0
    assert "become float32" in ran.err
    out = nibabel.load(tmp_path / "a.denoised.nii.gz")
    expected = nlmeans.denoise(
        np.ascontiguousarray(real.T), sigma=10, patch_radius=1, search_radius=(1, 2, 2)
    )
    assert out.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asanyarray(out.dataobj), expected.T)  # not in steps of 0.5


def test_a_slice_and_axes_of_length_1_keep_their_shape(tmp_path: Path) -> None:
    voxels = scan("f4")[:, :, 2:3, None]
    path = write(tmp_path / "slice.nii", files.nifti(voxels, 1))
    assert Ran("denoise", path, "--sigma", "20").code == 0
    out = nibabel.load(tmp_path / "slice.denoised.nii")
    assert out.shape == nibabel.load(path).shape
    expected = nlmeans.denoise(np.ascontiguousarray(voxels[:, :, 0, 0].T), sigma=20)
    np.testing.assert_array_equal(np.asanyarray(out.dataobj).squeeze(), expected.T)


def test_a_mask_of_the_same_space(tmp_path: Path) -> None:
    voxels, valid = scan("f4"), np.zeros((16, 14, 6), np.uint8)
    valid[3:12, 2:10] = 1
    path = write(tmp_path / "a.nii", files.nifti(voxels, 1))
    mask = write(tmp_path / "mask.nii.gz", files.nifti(valid, 1))
    assert Ran("denoise", path, "--mask", mask, *QUICK, "-o", tmp_path / "out.nii").code == 0
    out = np.asanyarray(nibabel.load(tmp_path / "out.nii").dataobj)
    np.testing.assert_array_equal(out[valid == 0], voxels[valid == 0])
    assert out[valid == 1].std() < voxels[valid == 1].std()


def test_what_leaves_the_space_behind_is_named_and_the_reverse_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", files.nifti(scan("f4"), 1))
    ran = Ran("denoise", path, *QUICK, "-o", tmp_path / "a.npy")
    assert ran.code == 0
    assert "place in space" in ran.err
    ran = Ran("denoise", tmp_path / "a.npy", *QUICK, "-o", tmp_path / "b.nii")
    assert ran.code != 0
    assert "where a volume lies" in ran.err
    assert not (tmp_path / "b.nii").exists()


def test_a_record_that_is_in_the_way_stops_before_any_work(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", files.nifti(scan("f4"), 1))
    (tmp_path / "a.denoised.json").write_text("mine")
    ran = Ran("denoise", path, *QUICK)
    assert ran.code != 0
    assert "a.denoised.json exists" in ran.err
    assert not (tmp_path / "a.denoised.nii").exists()
    assert Ran("denoise", path, *QUICK, "--overwrite").code == 0
    assert "Volumes" in json.loads((tmp_path / "a.denoised.json").read_text())


def _with(place: int, form: str, value: object) -> bytes:
    data = bytearray(files.nifti(scan("i2"), 1))
    struct.pack_into(form, data, place, value)
    return bytes(data)


REFUSED = {
    "complex": (lambda: files.nifti(scan("f4").astype("c8"), 1), "complex numbers"),
    "two files": (lambda: _with(344, "4s", b"ni1\0"), "another file"),
    "older": (lambda: _with(344, "4s", b"\0\0\0\0"), "magic word"),
    "cut": (lambda: files.nifti(scan("i2"), 1)[:1000], "bytes of numbers"),
    "cut in the header": (lambda: files.nifti(scan("i2"), 1)[:200], "within its header"),
    "no axes": (lambda: _with(40, "<h", 0), "impossible shape"),
    "negative axis": (lambda: _with(42, "<h", -3), "impossible shape"),
    "five axes": (lambda: files.nifti(np.zeros((2, 2, 2, 2, 2), "i2"), 1), "split it first"),
    "numbers in the header": (lambda: _with(108, "<f", 10.0), "begin within"),
    "another gzip": (lambda: gzip.compress(b"some text"), "holds no NIfTI"),
    "cut gzip": (lambda: gzip.compress(files.nifti(scan("i2"), 1))[:-900], "damaged"),
    "int32": (lambda: files.nifti(scan("i4"), 1), "--convert"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_reason_and_nothing_written(case: str, tmp_path: Path) -> None:
    make, words = REFUSED[case]
    path = tmp_path / "a.nii"
    path.write_bytes(make())
    ran = Ran("denoise", path, *QUICK)
    assert ran.code != 0
    assert words in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.nii", files.nifti(scan("i2"), 1))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    ran = Ran("denoise", path, *QUICK)
    assert ran.code != 0
    assert "pip install 'nlmeans[medical]'" in ran.err


def test_a_packed_file_that_declares_too_much_is_held_against_the_limits(tmp_path: Path) -> None:
    data = bytearray(files.nifti(scan("i2"), 1))
    struct.pack_into("<3h", data, 42, 32767, 32767, 32767)
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(bytes(data)))
    ran = Ran("denoise", path, *QUICK)
    assert ran.code != 0
    assert "--max-expansion" in ran.err


def test_voxel_sizes_are_read_in_the_order_of_the_axes() -> None:
    with reading.opened("-", Limits(), BytesIO(files.nifti(scan("i2"), 1))) as picture:
        assert picture.pages[0].spacing == (3.0, 1.0, 1.0)


def test_radii_follow_the_voxel_sizes(tmp_path: Path) -> None:
    voxels = scan("f4")
    path = write(tmp_path / "a.nii", files.nifti(voxels, 1))
    assert Ran("denoise", path, "--sigma", "20").code == 0
    out = np.asanyarray(nibabel.load(tmp_path / "a.denoised.nii").dataobj)
    stored = np.ascontiguousarray(voxels.T)
    np.testing.assert_array_equal(out.T, nlmeans.denoise(stored, sigma=20.0, spacing=(3.0, 1.0, 1.0)))
    assert not np.array_equal(out.T, nlmeans.denoise(stored, sigma=20.0))
    assert Ran("denoise", path, "--sigma", "20", "--spacing", "1,1,1", "-o", tmp_path / "b.nii").code == 0
    out = np.asanyarray(nibabel.load(tmp_path / "b.nii").dataobj)
    np.testing.assert_array_equal(out.T, nlmeans.denoise(stored, sigma=20.0, spacing=(1.0, 1.0, 1.0)))
