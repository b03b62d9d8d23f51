from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from notif_rec.models import als, als_diagonal, als_implicit
from notif_rec.models.als import fit_als
from notif_rec.models.als_loss import AlsSettings, als_loss, pull_of_rows, row_regularization
from notif_rec.models.blas import one_blas_thread
from notif_rec.models.settings import Solver

SETTINGS = AlsSettings(factors=8, iterations=15, unobserved_weight=0.1, regularization=0.02, regularization_exponent=1.0, seed=3)
DIAGONAL = replace(SETTINGS, solver="diagonal")
SOLVERS: tuple[Solver, ...] = ("implicit", "diagonal")
each_solver = pytest.mark.parametrize("solver", SOLVERS)
Wide = npt.NDArray[np.float64]


def pairs(n_users: int = 40, n_items: int = 23, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    taste = rng.standard_normal((n_users, 3)) @ rng.standard_normal((3, n_items)) > 1.2
    taste[:, 0] |= rng.random(n_users) < 0.5
    taste[5], taste[:, 7] = False, False
    return sparse.csr_matrix(taste * rng.uniform(0.5, 3, taste.shape).astype(np.float32))


def dense_step(weights: Wide, other: Wide, settings: AlsSettings) -> Wide:
    """The minimiser of Σ w(ŷ−1)² + α0 Σ ŷ² + reg‖row‖² over each row, by normal equations."""
    a0, rows = settings.unobserved_weight, []
    for w in weights:
        reg = settings.regularization * (w.sum() + a0 * len(w)) ** settings.regularization_exponent
        left = a0 * other.T @ other + other.T @ (w[:, None] * other) + reg * np.eye(other.shape[1])
        rows.append(np.linalg.solve(left, ((w + a0 * (w > 0))[:, None] * other).sum(axis=0)))
    return np.array(rows)


def loss(weights: Wide, x: Wide, y: Wide, settings: AlsSettings) -> float:
    a0, nu, score = settings.unobserved_weight, settings.regularization_exponent, x @ y.T
    reg = sum(
        settings.regularization * (((w.sum(1) + a0 * w.shape[1]) ** nu) * (f**2).sum(1)).sum() for w, f in ((weights, x), (weights.T, y))
    )
    seen = weights + a0 * (weights > 0)  # the target is 1 with the whole confidence of a seen pair
    return float((seen * (score - 1) ** 2).sum() + a0 * ((weights == 0) * score**2).sum() + reg)


@each_solver
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_users_solve_the_normal_equations_of_the_papers_loss(exponent: float, solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als_diagonal, "LAST_CG_STEPS", 40)
    monkeypatch.setattr(als_implicit, "LAST_CG_STEPS", 40)
    monkeypatch.setattr(als_implicit, "BUCKET_RATIO", 1.0001)  # every row its own regularisation
    data, settings = pairs(), replace(SETTINGS, regularization_exponent=exponent, solver=solver)
    x, y = fit_als(data, settings)
    expected = dense_step(data.toarray().astype(np.float64), y.astype(np.float64), settings)
    expected[5] = 0  # nothing seen
    np.testing.assert_allclose(x, expected, atol=2e-4)


def test_the_loss_told_is_the_papers() -> None:
    data = pairs()
    x, y = fit_als(data, SETTINGS)
    pull = pull_of_rows(data, SETTINGS), pull_of_rows(data.T.tocsr(), SETTINGS)
    wide = data.toarray().astype(np.float64), x.astype(np.float64), y.astype(np.float64)
    assert als_loss(data, x, y, SETTINGS.unobserved_weight, *pull) == pytest.approx(loss(*wide, SETTINGS), rel=1e-5)


def test_implicits_kernel_knows_no_bias() -> None:
    with pytest.raises(ValueError, match="diagonal"):
        fit_als(pairs(), replace(SETTINGS, bias=True))


def test_with_bias_users_are_1_in_column_0_and_solve_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als_diagonal, "LAST_CG_STEPS", 40)
    data, a0 = pairs(), SETTINGS.unobserved_weight
    x, y = (f.astype(np.float64) for f in fit_als(data, replace(DIAGONAL, bias=True)))
    dense, expected = data.toarray().astype(np.float64), []
    for w in dense:
        reg = SETTINGS.regularization * (w.sum() + a0 * len(w))
        left = a0 * y.T @ y + y.T @ (w[:, None] * y) + reg * np.eye(8)
        right = ((w + a0 * (w > 0))[:, None] * y).sum(axis=0)
        expected.append(np.concatenate([[1], np.linalg.solve(left[1:, 1:], right[1:] - left[1:, 0])]))
    there = (dense > 0).any(axis=1)
    np.testing.assert_allclose(x, np.array(expected) * there[:, None], atol=2e-4)
    taken = (dense > 0).sum(axis=0)
    assert np.corrcoef(y[:, 0], taken)[0, 1] > 0.5 and y[7, 0] == 0


@each_solver
def test_it_stops_when_the_loss_hardly_falls(solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, iterations=50, solver=solver)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(als, "ENOUGH", 0.05)
    early = fit_als(pairs(), settings, progress=lambda done, total: told.append((done, total)))
    assert len(told) < 30 and told[-1] == (50, 50)
    monkeypatch.setattr(als, "ENOUGH", 0.0)
    dense = pairs().toarray().astype(np.float64)
    late = fit_als(pairs(), settings)
    losses = [loss(dense, *(f.astype(np.float64) for f in found), settings) for found in (early, late)]
    assert losses[1] < losses[0] < 1.1 * losses[1]


@each_solver
def test_the_loss_reaches_that_of_exact_steps(solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als, "ENOUGH", 0.0)
    data = pairs()
    dense = data.toarray().astype(np.float64)
    rng = np.random.default_rng(1)
    y = rng.standard_normal((23, 8)) * 0.1 / 8**0.5
    y[7] = 0
    for _ in range(15):
        x = dense_step(dense, y, SETTINGS)
        y = dense_step(dense.T, x, SETTINGS)
    x = dense_step(dense, y, SETTINGS)
    found = loss(dense, *(f.astype(np.float64) for f in fit_als(data, replace(SETTINGS, solver=solver))), SETTINGS)
    assert found == pytest.approx(loss(dense, x, y, SETTINGS), rel=0.01)


@each_solver
def test_one_and_two_threads_give_the_same_bits(solver: Solver) -> None:
    data, settings = pairs(300, 90), replace(SETTINGS, solver=solver, iterations=3)
    for one, two in zip(fit_als(data, settings, threads=1), fit_als(data, settings, threads=2), strict=True):
        assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize(("factors", "exponent"), [(16, 0.0), (64, 1.0)])
def test_both_solvers_reach_one_loss(factors: int, exponent: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als, "ENOUGH", 0.0)
    data = pairs(400, 300, seed=2)
    settings = replace(SETTINGS, factors=factors, regularization_exponent=exponent, regularization=2.0 if exponent == 0 else 0.02)
    dense = data.toarray().astype(np.float64)
    found = [fit_als(data, replace(settings, iterations=30, solver=solver)) for solver in SOLVERS]
    losses = [loss(dense, x.astype(np.float64), y.astype(np.float64), settings) for x, y in found]
    assert losses[0] == pytest.approx(losses[1], rel=0.002)


def test_the_loss_is_no_worse_than_that_of_implicit_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als, "ENOUGH", 0.0)
    data, factors = pairs(400, 300, seed=2), 16
    settings = replace(SETTINGS, factors=factors, regularization_exponent=0.0, regularization=2.0, iterations=30)
    a0 = settings.unobserved_weight
    with one_blas_thread():
        other = AlternatingLeastSquares(factors=factors, regularization=2.0 / a0, alpha=1, iterations=30, random_state=1, num_threads=1)
    other.fit(sparse.csr_matrix((1 + data.data / a0, data.indices, data.indptr), shape=data.shape), show_progress=False)
    dense = data.toarray().astype(np.float64)
    theirs = loss(dense, other.user_factors.astype(np.float64), other.item_factors.astype(np.float64), settings)
    ours = loss(dense, *(f.astype(np.float64) for f in fit_als(data, settings)), settings)
    assert ours < theirs * 1.002


def test_a_seed_decides_and_another_differs() -> None:
    first, again, other = (fit_als(pairs(), replace(SETTINGS, seed=seed))[1] for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@each_solver
def test_rows_and_columns_without_pairs_are_zero(solver: Solver) -> None:
    x, y = fit_als(pairs(), replace(SETTINGS, solver=solver))
    assert not x[5].any() and not y[7].any() and x[4].any()


@each_solver
def test_no_pairs_at_all_is_no_error(solver: Solver) -> None:
    x, y = fit_als(sparse.csr_matrix((3, 4), dtype=np.float32), replace(SETTINGS, solver=solver))
    assert x.shape == (3, 8) and y.shape == (4, 8) and not x.any() and not y.any()


def test_regularisation_grows_with_evidence() -> None:
    assert row_regularization(np.array([0.0, 10.0]), 100, 0.1, 0.5, 1.0).tolist() == [5.0, 10.0]
    assert row_regularization(np.array([0.0, 10.0]), 100, 0.1, 0.5, 0.0).tolist() == [0.5, 0.5]


def test_progress_tells_every_epoch() -> None:
    told: list[tuple[int, int]] = []
    fit_als(pairs(), replace(SETTINGS, iterations=3), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
