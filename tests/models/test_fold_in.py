from __future__ import annotations

import numpy as np
import pytest

from notif_rec.models import fold_in as module
from notif_rec.models.als_loss import AlsSettings
from notif_rec.models.fit import Evidence, fit_channel
from notif_rec.models.fold_in import fold_in
from notif_rec.models.settings import ModelSettings
from notif_rec.models.taste import channel_weights, saturate, taste_of
from tests.models.test_als import dense_step, pairs

KNOBS = ModelSettings(factors=16, unobserved_weight=0.1, regularization=0.02, blend=0)


def test_fold_in_is_the_exact_user_step() -> None:
    data = pairs()
    model = fit_channel("push", 0, Evidence(taste_of(data, 0), 23), KNOBS, seed=1)
    weights = saturate(channel_weights(taste_of(data, 0), 0, 0.5, 23), model.unit)
    als = AlsSettings(16, 1, 0.1, 0.02, 1.0, 1)
    expected = dense_step(weights.toarray().astype(np.float64), model.item_factors.astype(np.float64), als)
    expected[5] = 0
    found = fold_in(model, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found, model.user_factors, atol=0.05)  # users keep their place when they are folded in again


def test_a_users_factors_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pairs()
    model = fit_channel("push", 0, Evidence(taste_of(data, 0), 23), KNOBS, seed=1)
    weights = saturate(channel_weights(taste_of(data, 0), 0, 0.5, 23), model.unit)
    whole = fold_in(model, weights)
    for user in (0, 4, 5, 39):
        assert fold_in(model, weights[user])[0].tobytes() == whole[user].tobytes()
    monkeypatch.setattr(module, "MOST_CELLS", 3 * 16 * 16)
    assert fold_in(model, weights).tobytes() == whole.tobytes()


def test_with_bias_a_newcomer_is_1_in_column_0_and_fits_in_the_rest() -> None:
    data = pairs()
    model = fit_channel("push", 0, Evidence(taste_of(data, 0), 23), KNOBS.model_copy(update={"bias": True, "solver": "diagonal"}), seed=1)
    found = fold_in(model, saturate(channel_weights(taste_of(data, 0), 0, 0.5, 23), model.unit))
    assert (found[:5, 0] == (np.diff(data.indptr)[:5] > 0)).all()
    np.testing.assert_allclose(found, model.user_factors, atol=0.05)
