from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notif_rec.models.taste import MAX_WEIGHT, Taste, channel_weights, saturate, taste_of, typical_weight

N_ITEMS = 7
entry = st.tuples(
    st.integers(0, 3), st.integers(-1, N_ITEMS - 1), st.integers(-1, 2), st.sampled_from([0.0, 1.0, 2.5, -1.0, np.nan, np.inf, 1e-30])
)


def taste(rows: list[tuple[int, int, int, float]], n_users: int = 4) -> Taste:
    rows = sorted({row[:3]: row for row in rows}.values(), key=lambda row: row[:3])
    user = np.array([row[0] for row in rows], dtype=np.int64)
    return Taste(
        np.searchsorted(user, np.arange(n_users + 1)).astype(np.int64),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.int8),
        np.array([row[3] for row in rows], np.float32),
    )


@given(st.lists(entry, max_size=25), st.integers(0, 2), st.sampled_from([0.0, 0.25, 1.0]))
def test_own_signs_count_fully_and_others_by_transfer(rows: list[tuple[int, int, int, float]], channel: int, transfer: float) -> None:
    made = channel_weights(taste(rows), channel, transfer, N_ITEMS)
    plain = np.zeros((4, N_ITEMS))
    for user, item, where, weight in {row[:3]: row for row in rows}.values():
        worth = weight * (1.0 if where == channel else transfer)
        if item >= 0 and np.isfinite(worth) and worth > 0:
            plain[user, item] += np.float64(np.float32(weight)) * (1.0 if where == channel else transfer)
    np.testing.assert_allclose(made.toarray(), plain, rtol=1e-12)
    assert (made.data > 0).all() and made.has_sorted_indices


@given(st.lists(entry, max_size=25), st.integers(0, 3))
def test_a_row_depends_on_its_user_alone(rows: list[tuple[int, int, int, float]], user: int) -> None:
    alone = channel_weights(taste([(0, *row[1:]) for row in rows if row[0] == user], 1), 1, 0.5, N_ITEMS)
    assert np.array_equal(alone.toarray()[0], channel_weights(taste(rows), 1, 0.5, N_ITEMS).toarray()[user])


def test_a_typical_pair_weighs_one_and_a_million_events_at_most_ten() -> None:
    weights = channel_weights(taste([(0, 1, 0, 2.0), (1, 2, 0, 2.0), (1, 3, 0, 1e6), (2, 3, 0, 1.0)]), 0, 0.5, N_ITEMS)
    assert typical_weight(weights) == 2.0
    confidence = saturate(weights, 2.0)
    assert confidence[0, 1] == 1.0
    assert confidence[1, 3] == MAX_WEIGHT
    assert 0 < confidence[2, 3] < 1


def test_without_any_sign_the_unit_is_one() -> None:
    assert typical_weight(channel_weights(taste([]), 0, 0.5, N_ITEMS)) == 1.0


def test_the_unit_makes_scales_equal() -> None:
    """Weights of 1 to 8 or of 100 to 800 say the same."""
    small = channel_weights(taste([(0, 1, 0, 1.0), (1, 2, 0, 4.0), (1, 3, 0, 8.0)]), 0, 0.5, N_ITEMS)
    large = small * 100
    assert saturate(small, typical_weight(small)).data == pytest.approx(saturate(large, typical_weight(large)).data)


def test_taste_of_plain_pairs_gives_them_back() -> None:
    pairs = channel_weights(taste([(0, 4, 0, 1.0), (2, 1, 0, 2.0)]), 0, 1.0, N_ITEMS)
    again = channel_weights(taste_of(pairs, 5), 5, 0.0, N_ITEMS)
    assert (again != pairs).nnz == 0
