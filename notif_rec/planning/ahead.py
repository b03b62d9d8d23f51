"""What a send takes from the sends that will follow the plan: the fatigue it leaves, times what they would have brought."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import exp1

from notif_rec.planning.bundle import Pool
from notif_rec.planning.context import PlanContext
from notif_rec.planning.offered import Recipients
from notif_rec.tables import CLASSES

FloatArray = npt.NDArray[np.float64]
DAY_US = 86_400_000_000
USUAL_RATE_US = 28 * DAY_US  # a user's usual rate of sends is that of so long before as-of


def cost_ahead(pool: Pool, users: Recipients, context: PlanContext) -> FloatArray:
    """(n_offers,) what each offer costs the sends after the plan's horizon, under the fatigue rules that learn.

    For each row of fatigue (channel s tires channel c with half-life h and slope b = −ln(1 − strength)): rate of c · value on c ·
    (1 − strength)^F̄ · ∫ from the horizon on of 1 − e^(−b·2^(−age/h)). The rate is the user's own of the last 28 days, the value that
    of the user's best offer on c now, F̄ what that rate keeps up, 0 where that value knows of earlier sends. The integral is
    h/ln 2 · Ein(b·2^(−age at the horizon/h)).
    """
    cost, fatigues = np.zeros(len(pool.us)), context.fatigues
    if not fatigues.ahead.any():
        return cost
    owner = np.repeat(np.arange(users.n), np.diff(pool.start))
    rate, value = _usual_rates(users, context), _best_values(pool, owner, users.n, len(context.channels))
    for row in np.flatnonzero(fatigues.ahead):
        half_life, keep = float(fatigues.half_life_us[row]), max(float(fatigues.keep[row]), 1e-9)
        target = int(np.flatnonzero(fatigues.channels[row])[0])
        steady = rate[:, target] * half_life / np.log(2.0) / DAY_US * (fatigues.since_us[row] == 0)
        follows = rate[:, target] * value[:, target] * keep**steady
        tires = (fatigues.tires[row, pool.channel] > 0) & (fatigues.counts[row, pool.item_class] > 0)
        left = np.exp2((pool.us[tires] - context.settings.end_us) / half_life)
        cost[tires] += follows[owner[tires]] * half_life / np.log(2.0) / DAY_US * _ein(-np.log(keep) * left)
    return cost


def _usual_rates(users: Recipients, context: PlanContext) -> FloatArray:
    """(n_users, n_channels) known marketing sends a day on each channel over the 28 days before as-of."""
    sends, as_of, n_channels = users.sends, context.settings.as_of_us, len(context.channels)
    owner = np.repeat(np.arange(users.n), np.diff(sends.start))
    recent = (sends.us < as_of) & (sends.us >= as_of - USUAL_RATE_US) & (sends.channel >= 0)
    recent &= sends.item_class == CLASSES.index("marketing")
    cell = owner[recent] * n_channels + sends.channel[recent]
    counted = np.bincount(cell, minlength=users.n * n_channels).reshape(users.n, n_channels)
    return np.asarray(counted * (DAY_US / USUAL_RATE_US), np.float64)


def _best_values(pool: Pool, owner: npt.NDArray[np.int64], n_users: int, n_channels: int) -> FloatArray:
    """(n_users, n_channels) the most that an offer of the user's is worth on each channel, 0 where there is none."""
    best = np.zeros((n_users, n_channels))
    np.maximum.at(best, (owner, pool.channel), pool.value)
    return best


def _ein(z: FloatArray) -> FloatArray:
    """∫ from 0 to z of (1 − e^(−x)) / x dx = E₁(z) + ln z + γ; by its series where that loses digits."""
    small = z < 1e-3
    safe = np.where(small, 1.0, z)
    return np.asarray(np.where(small, z - z * z / 4.0, exp1(safe) + np.log(safe) + np.euler_gamma))
