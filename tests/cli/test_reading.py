"""Reading pictures: broken files do no harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..faults import files
from ..faults.sessions import zygote as zygote
from ..faults.zygote import Zygote

MUTATIONS = int(os.environ.get("NLMEANS_TEST_MUTATIONS", "5000"))  # of each reader's files; 21 readers


@pytest.mark.parametrize("reader", files.CORPUS)
def test_broken_files_are_refused_quickly_and_cheaply(reader: str, zygote: Zygote, tmp_path: Path) -> None:
    """No crash, nothing but our own error, no second spent on one file, no 512 MiB."""
    code = zygote.run("fuzz", tmp_path, reader, MUTATIONS, 1)
    told = (tmp_path / "out.log").read_text() + (tmp_path / "err.log").read_text()[-2000:]
    print(reader, told)
    assert code == 0, told
