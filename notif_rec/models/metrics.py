"""How good ranked lists are: per user (recall, NDCG, MAP …) and as a whole (coverage, Gini, novelty …).

Lists are (n_users, k) item indices, best first, -1 where a list ends early. All sums over users and items are vectorised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Items = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Targets:
    """What each user went on to take: items of user u are `item[offsets[u]:offsets[u + 1]]`, ascending, no item twice."""

    offsets: Offsets
    item: Items

    @classmethod
    def from_pairs(cls, user: npt.NDArray[np.integer], item: npt.NDArray[np.integer], n_users: int) -> Targets:
        """Targets from (user row, item) pairs in any order; a pair that stands twice counts once."""
        width = int(item.max()) + 1 if len(item) else 1
        key = np.unique(user.astype(np.int64) * width + item.astype(np.int64))
        offsets = np.searchsorted(key, np.arange(n_users + 1, dtype=np.int64) * width)
        return cls(offsets.astype(np.int64), (key % width).astype(np.int32))

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """How many targets each user has, shape (n_users,)."""
        return np.diff(self.offsets)

    def rows(self, chosen: npt.NDArray[np.integer]) -> Targets:
        """The targets of the chosen users, in that order."""
        size = self.count[chosen]
        offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
        place = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - self.offsets[chosen], size)
        return Targets(offsets, self.item[place])


def hit_matrix(lists: Items, targets: Targets) -> npt.NDArray[np.bool_]:
    """True where the list's item is a target of its user, shape (n_users, k); a repeated item hits once."""
    n_users = len(lists)
    width = 1 + max(int(lists.max(initial=0)), int(targets.item.max(initial=0)))
    wanted = np.repeat(np.arange(n_users, dtype=np.int64), targets.count) * width + targets.item
    key = np.arange(n_users, dtype=np.int64)[:, None] * width + lists
    place = np.searchsorted(wanted, key)
    found: npt.NDArray[np.bool_] = (np.append(wanted, -1)[place] == key) & (lists >= 0)
    return found & ~_repeated(lists)


def _repeated(lists: Items) -> npt.NDArray[np.bool_]:
    """True where the same item stands earlier in the row."""
    order = np.argsort(lists, axis=1, kind="stable")
    ordered = np.take_along_axis(lists, order, axis=1)
    again = np.zeros(lists.shape, dtype=bool)
    again[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    result = np.empty_like(again)
    np.put_along_axis(result, order, again, axis=1)
    return result


def per_user(lists: Items, targets: Targets, k: int) -> dict[str, Floats]:
    """Metric name → one value a user, shape (n_users,); every user must have a target.

    `recall` = hits / n_targets; `capped_recall` = hits / min(k, n_targets); `ndcg` has its ideal over min(k, n_targets),
    `map` divides by the same; `precision` = hits / k, however short the list is; `hit_rate` is 1 with any hit.
    """
    hits = hit_matrix(lists[:, :k], targets).astype(np.float64)
    position = np.arange(1, hits.shape[1] + 1, dtype=np.float64)
    n_targets, n_hits = targets.count.astype(np.float64), hits.sum(axis=1)
    reachable = np.minimum(n_targets, k)
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, k + 2, dtype=np.float64)))
    gains = (hits / np.log2(position + 1.0)).sum(axis=1)
    return {
        f"recall@{k}": n_hits / n_targets,
        f"capped_recall@{k}": n_hits / reachable,
        f"ndcg@{k}": gains / ideal[reachable.astype(np.int64) - 1],
        f"map@{k}": (hits * np.cumsum(hits, axis=1) / position).sum(axis=1) / reachable,
        f"hit_rate@{k}": (n_hits > 0).astype(np.float64),
        f"precision@{k}": n_hits / k,
    }


def of_lists(
    lists: Items, popularity: Floats, n_past_users: int, eligible: npt.NDArray[np.bool_], past_popularity: float
) -> dict[str, float]:
    """What the lists look like as a whole.

    popularity: (n_items,) users who took each item before; n_past_users: how many users there were. eligible: (n_items,) what
    could be listed. past_popularity: mean popularity of what these users took themselves, 0 where unknown.

    coverage: share of eligible items on any list · gini: of exposures over eligible items (0 even, 1 all on one) ·
    novelty: mean self-information of a listed item, bits · popularity_lift: mean popularity of listed items against what
    the users took themselves (1 = the same) · sufficiency: share of places filled, of min(k, eligible items) ·
    duplicates: places that repeat an item of the same list.
    """
    shown = lists[lists >= 0]
    n_eligible = int(eligible.sum())
    places = len(lists) * min(lists.shape[1], n_eligible)
    exposure = np.bincount(shown, minlength=len(eligible)).astype(np.float64)[eligible]
    chance = (popularity[shown] + 1.0) / (n_past_users + 1.0)
    mean_popularity = float(popularity[shown].mean()) if len(shown) else 0.0
    return {
        "coverage": float((exposure > 0).mean()) if n_eligible else 0.0,
        "gini": gini(exposure),
        "novelty": float(-np.log2(chance).mean()) if len(shown) else 0.0,
        "popularity_lift": mean_popularity / past_popularity if past_popularity > 0 else 0.0,
        "sufficiency": len(shown) / places if places else 0.0,
        "duplicates": int(_repeated(lists).sum()),
    }


def gini(amounts: Floats) -> float:
    """The Gini coefficient of non-negative amounts: 0 where all are equal, towards 1 where one has all."""
    total = amounts.sum()
    if len(amounts) == 0 or total == 0:
        return 0.0
    rank = np.arange(1, len(amounts) + 1)
    return float((2 * rank - len(amounts) - 1) @ np.sort(amounts) / (len(amounts) * total))
