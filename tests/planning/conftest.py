"""What the planner's property tests share."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from notif_rec.scoring import topk


@pytest.fixture(autouse=True, scope="session")
def blas_left_alone() -> None:
    """Looking up the BLAS libraries takes longer than planning a world of three users."""
    topk.threadpool_limits = lambda *_, **__: nullcontext()
