"""Files of kinds that are not read: what they are, and what to do with them."""

from __future__ import annotations

import re
from typing import BinaryIO

from ..status import UnreadableError

DEVELOP = (  # what becomes of camera raw
    "develop it first into TIFF of 16 bits, by a program for photographs or LibRaw: dcraw_emu -T -6 FILE"
)
_RAW = f"camera raw; {DEVELOP}"
_MICROSCOPE = "save it as OME-TIFF first, in its own program or with Bio-Formats: bfconvert FILE OUT.ome.tif"
_DICOM = (
    "a DICOM file; save its pixels as NPY or TIFF first (for instance, with pydicom: "
    "np.save('in.npy', pydicom.dcmread('in.dcm').pixel_array)), or a series as NIfTI with dcm2niix"
)
_OLD = "a DDS, PCX or ILBM picture; convert it to PNG first"
_BY_START = (
    (
        rb"GIF8",
        "a GIF picture, which has a palette; convert it to PNG with RGB colours first (an animation is a "
        "film for 'nlmeans denoise', from a file)",
    ),
    (
        rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
        "a HEIC picture; convert it to PNG first, for instance with libheif: heif-convert IN.heic OUT.png",
    ),
    (
        rb"....ftypavi[fs]",
        "an AVIF picture; convert it to PNG first, for instance with libheif: heif-convert IN.avif OUT.png",
    ),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|IIU\0|IIRO|IIRS|MMOR|FOVb", _RAW),
    (rb"....ftyp", "a film, which only nlmeans denoise takes"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture; convert it to PNG or TIFF first"),
    (rb"II\xbc", "a JPEG XR picture; convert it to PNG or TIFF first"),
    (rb"8BPS", "a Photoshop document; export it as TIFF or PNG first"),
    (rb"\0\0[\1\2]\0[\1-\x40]\0|icns", "an icon; convert it to PNG first"),
    (rb"DDS |\x0a[\0-\5]\x01[\1\2\4\x08]|FORM....ILBM", _OLD),
    (rb"ZISRAWFILE", f"a Zeiss CZI file; {_MICROSCOPE}"),
    (rb"\xda\xce\xbe\x0a", f"a Nikon ND2 file; {_MICROSCOPE}"),
    (rb"\x70\0\0\0.{4}\x2a", f"a Leica LIF file; {_MICROSCOPE}"),
    (rb"\x08\0[\0\5\x08\x16\x18]\0(UL|CS|UI|DA|TM)", _DICOM),  # without its 128 bytes in front
    (rb"MATLAB ", "a MATLAB file; save the array as NPY or the picture as TIFF first"),
    (rb"%PDF|%!PS", "a PDF or PostScript document, which this program never opens"),
    (rb"\s*<(\?xml|svg|!DOCTYPE)", "an XML or SVG document, which this program never opens"),
    (rb"PK\x03\x04", "a ZIP archive (npz, zip or a saved model); unpack a plain .npy from it first"),
    (rb"\x80[\x02-\x05]", "a Python pickle, which can run any code; save a plain .npy instead"),
    (rb"\x89HDF", "an HDF5 file; save the picture as TIFF or NPY first"),
    (rb"SIMPLE  =", "a FITS file; save the picture as TIFF or NPY first"),
    (rb"P7\s", "a PAM picture; convert it to PNG or PPM first"),
)
_FURTHER_IN = (  # where, what stands there
    (128, b"DICM", _DICOM),
    (208, b"MAP ", "an MRC file; save it as TIFF or NPY first (for instance with mrcfile)"),
)  # fmt: skip


def check(file: BinaryIO, start: bytes) -> None:
    """Refuse a file of a kind that is known and not read, by its first bytes or a mark further in."""
    for pattern, what in _BY_START:
        if re.match(pattern, start, re.DOTALL):
            raise UnreadableError(f"it is {what}")
    for at, mark, what in _FURTHER_IN:
        file.seek(at)
        if file.read(len(mark)) == mark:
            raise UnreadableError(f"it is {what}")
