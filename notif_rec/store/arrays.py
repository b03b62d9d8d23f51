"""Arrays as .npy files, written so that a full disk is told as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes `array` as numpy's own format; OSError with its errno where it does not fit (numpy's own writing hides that)."""
    plain = np.ascontiguousarray(array)
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(plain))
        stream.write(plain.reshape(-1).view(np.uint8).data)
