"""From ranked lists and what users went on to take to a report: means, differences with intervals, and parts of the users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.models.bootstrap import Interval, paired_interval
from notif_rec.models.metrics import Floats, Items, Targets, of_lists, per_user

Bools = npt.NDArray[np.bool_]
LEAST_FOR_DECILES = 200  # warm users
HEADLINE = ("recall", "ndcg")  # what differences and parts of the users are told in


@dataclass(frozen=True)
class Ground:
    """What lists are judged against; every user here has a target.

    popularity: (n_items,) users who took each item before. n_past_users: users there were. past_items: mean popularity of what
    these users took before. groups: name → which of these users. old_item: (n_items,) items that somebody took before.
    """

    targets: Targets
    k: int
    eligible: Bools
    popularity: Floats
    n_past_users: int
    past_popularity: float
    groups: Mapping[str, Bools]
    old_item: Bools
    seed: int


@dataclass(frozen=True)
class Report:
    """models: name → metric → mean. differences: name → metric → the reference's mean lead over it. segments: part → model → metric."""

    models: Mapping[str, Mapping[str, float]]
    differences: Mapping[str, Mapping[str, Interval]]
    segments: Mapping[str, Mapping[str, Mapping[str, float]]]


def judge(lists: Mapping[str, Items], ground: Ground, reference: str) -> Report:
    """Every model's metrics, and how far `reference` leads each of the others on the same users."""
    values = {name: per_user(ranked, ground.targets, ground.k) for name, ranked in lists.items()}
    models = {name: _summary(lists[name], values[name], ground) for name in lists}
    told = [f"{metric}@{ground.k}" for metric in HEADLINE]
    differences = {
        name: {metric: paired_interval(values[reference][metric], values[name][metric], ground.seed) for metric in told}
        for name in lists
        if name != reference
    }
    return Report(models, differences, _by_user(values, ground, told) | _by_item(lists, ground, told))


def activity_groups(n_past: npt.NDArray[np.integer]) -> dict[str, Bools]:
    """Users without a past, with one, and those by thirds and, where there are enough of them, tenths of how much past.

    n_past: (n_users,) pairs that each user took before. Equal users stay together, so parts may differ in size.
    """
    warm = n_past > 0
    groups = {"cold_users": ~warm, "warm_users": warm}
    if not warm.any():
        return groups
    for parts, name in ((3, "third"), (10, "tenth")):
        if parts == 10 and warm.sum() < LEAST_FOR_DECILES:
            continue
        edges = np.quantile(n_past[warm], np.arange(1, parts) / parts, method="higher")
        part = np.searchsorted(edges, n_past, side="left")
        groups |= {f"activity_{name}_{i + 1}": warm & (part == i) for i in range(parts)}
    return groups


def _summary(ranked: Items, values: Mapping[str, Floats], ground: Ground) -> dict[str, float]:
    means = {metric: _mean(value) for metric, value in values.items()}
    whole = of_lists(ranked[:, : ground.k], ground.popularity, ground.n_past_users, ground.eligible, ground.past_popularity)
    return {**means, "users": len(ranked), **whole}


def _by_user(values: Mapping[str, Mapping[str, Floats]], ground: Ground, told: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """The headline metrics of each group of users that has somebody in it."""
    return {
        group: {name: {"users": int(who.sum()), **{metric: _mean(value[metric][who]) for metric in told}} for name, value in values.items()}
        for group, who in ground.groups.items()
        if who.any()
    }


def _by_item(lists: Mapping[str, Items], ground: Ground, told: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """The headline metrics where only new items, or only old ones, count as targets."""
    targets = ground.targets
    old = np.append(ground.old_item, False)[np.minimum(targets.item, len(ground.old_item))]
    parts: dict[str, dict[str, dict[str, float]]] = {}
    for part, wanted in (("cold_items", ~old), ("warm_items", old)):
        if not wanted.any() or wanted.all():
            continue
        user = np.repeat(np.arange(len(targets.count)), targets.count)[wanted]
        who, row = np.unique(user, return_inverse=True)
        some = Targets.from_pairs(row, targets.item[wanted], len(who))
        found = {name: per_user(ranked[who], some, ground.k) for name, ranked in lists.items()}
        parts[part] = {name: {"users": len(who), **{metric: _mean(value[metric]) for metric in told}} for name, value in found.items()}
    return parts


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0
