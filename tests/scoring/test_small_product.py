from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from notif_rec.scoring.small_product import PANEL, USERS, aligned, multiply, pack, ready

pytestmark = pytest.mark.skipif(not ready(), reason="this processor does not multiply bytes (AVX512_VNNI)")


def product(users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores and what each user's may be wrong by."""
    packed, slack = pack(items), np.zeros(len(users))
    out = aligned(-(-len(users) // USERS) * USERS, len(packed.bytes) * PANEL, np.float32)
    multiply(users, packed, out, slack)
    return out[: len(users), : len(items)], slack


def factors(rng: np.random.Generator, n: int, f: int, kind: str) -> np.ndarray:
    """Plain ones; rows and columns of very unlike lengths, down to the least of floats; some of zeros; one factor that outweighs all."""
    made = rng.standard_normal((n, f))
    if kind == "unlike":
        made *= rng.lognormal(0, 3, (n, 1)) * rng.lognormal(0, 3, f)
    elif kind == "faint":
        made *= 10.0 ** -rng.choice([0, 20, 41], f) * 10.0 ** -rng.choice([0, 20, 41])
    elif kind == "zeros":
        made *= (rng.random((n, 1)) < 0.7) * (rng.random(f) < 0.7)
    elif kind == "outlier":
        made[rng.integers(n), rng.integers(f)] = 1e4
    return made.astype(np.float32)


KINDS = st.sampled_from(["plain", "unlike", "faint", "zeros", "outlier"])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 300), st.integers(1, 70), KINDS, KINDS)
def test_no_score_is_further_off_than_said(seed: int, n: int, m: int, f: int, of_users: str, of_items: str) -> None:
    rng = np.random.default_rng(seed)
    users, items = factors(rng, n, f, of_users), factors(rng, m, f, of_items)
    scores, slack = product(users, items)
    assert (np.abs(scores - users.astype(np.float64) @ items.astype(np.float64).T) <= slack[:, None]).all()


def test_what_is_said_is_not_far_from_what_is() -> None:
    """A bound that nominates everything is no bound: here about a hundredth of the lengths' product, and a tenth of it is met."""
    rng = np.random.default_rng(1)
    users, items = factors(rng, 64, 64, "plain"), factors(rng, 4000, 64, "plain")
    scores, slack = product(users, items)
    off = np.abs(scores - users.astype(np.float64) @ items.astype(np.float64).T).max(axis=1)
    lengths = np.linalg.norm(users, axis=1) * np.linalg.norm(items, axis=1).max()
    assert (slack < 0.02 * lengths).all() and (off > 0.05 * slack).all()


def test_whole_numbers_come_out_whole() -> None:
    """Bytes that are the factors themselves: the sums are those of whole numbers, up to the largest, of 1,024 factors."""
    rng = np.random.default_rng(2)
    users, items = (rng.integers(-127, 128, (n, 1024)).astype(np.float32) for n in (5, 130))
    users[0], items[0] = 127.0, -127.0
    packed = pack(items)
    scores = aligned(8, len(packed.bytes) * PANEL, np.float32)
    multiply(users, packed, scores, np.zeros(5))
    whole = users.astype(np.int64) @ items.astype(np.int64).T
    np.testing.assert_array_equal(scores[:5, :130], whole.astype(np.float32))


def test_it_is_for_compiled_code_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """NUMBA_DISABLE_JIT=1, with which people look for mistakes, runs everything else."""
    monkeypatch.setattr(config, "DISABLE_JIT", True)
    assert not ready()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_scales_of_columns_do_not_matter(seed: int) -> None:
    """A column times a power of two here and divided by it there leaves every score and every bound as it is, to the bit."""
    rng = np.random.default_rng(seed)
    users, items = factors(rng, 5, 13, "plain"), factors(rng, 90, 13, "plain")
    scale = np.exp2(rng.integers(-20, 20, 13)).astype(np.float32)
    for one, other in zip(product(users, items), product(users / scale, items * scale), strict=True):
        assert one.tobytes() == other.tobytes()
