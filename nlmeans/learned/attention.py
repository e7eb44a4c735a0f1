"""The old name of :mod:`nlmeans.learned.measuring`; it goes with version 0.3."""

from nlmeans.errors import warn
from nlmeans.learned.measuring import attention_rows, measure_block, random_block, read_block

__all__ = ["attention_rows", "measure_block", "random_block", "read_block"]
warn(
    "nlmeans.learned.attention is called nlmeans.learned.measuring now; the old name goes with version 0.3",
    category=DeprecationWarning,
)
