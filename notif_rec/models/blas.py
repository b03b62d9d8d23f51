"""BLAS on one thread: parallel work is split by us, and a second pool of threads only gets in its way."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=2)
def _controller(with_scipys: bool) -> ThreadpoolController:
    """Looks through the libraries of this process once: that costs ten milliseconds, more than a small batch.

    with_scipys: whether scipy's BLAS, which implicit's kernel calls, is among them; it may come later than numpy's.
    """
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Inside the block every BLAS call of this process runs on the caller's thread."""
    limit: AbstractContextManager[Any] = _controller("scipy.linalg.cython_blas" in sys.modules).limit(limits=1, user_api="blas")
    return limit
