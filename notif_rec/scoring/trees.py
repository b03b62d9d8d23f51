"""Boosted trees as plain arrays, walked by our own loop in a fixed order: scoring needs no library, and no batch decides a score's bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]


class Trees(NamedTuple):
    """Node i asks whether row[feature[i]] ≤ threshold[i], then goes left[i], else right[i]; ~l names leaf l.

    root: the first node of each tree, ~l where the tree is a leaf. value: of each leaf, summed over the trees.
    """

    root: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int16]
    threshold: FloatArray
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: FloatArray

    def to_json(self) -> dict[str, list[Any]]:
        """Plain lists; floats read back bit by bit."""
        return {name: getattr(self, name).tolist() for name in self._fields}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Trees:
        """Raises ValueError where a node leads nowhere."""
        trees = cls(*(np.asarray(stored[name], dtype) for name, dtype in DTYPES.items()))
        n_nodes, n_leaves = len(trees.feature), len(trees.value)
        after = np.concatenate([trees.left, trees.right])
        at = np.tile(np.arange(n_nodes), 2)
        fits = len({n_nodes, len(trees.threshold), len(trees.left), len(trees.right)}) == 1
        if not fits or (after >= n_nodes).any() or (~after >= n_leaves).any() or ((after >= 0) & (after <= at)).any():
            raise ValueError("a tree leads nowhere")
        if (trees.root >= n_nodes).any() or (~trees.root >= n_leaves).any() or (trees.feature < 0).any():
            raise ValueError("a tree has no root or no feature")
        return trees


DTYPES = {"root": np.int32, "feature": np.int16, "threshold": np.float64, "left": np.int32, "right": np.int32, "value": np.float64}


def no_trees() -> Trees:
    """Trees that add 0."""
    return Trees(*(np.zeros(0, dtype) for dtype in DTYPES.values()))


def joined(first: Trees, second: Trees) -> Trees:
    """The trees of both."""
    nodes, leaves = len(first.feature), len(first.value)

    def later(number: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return np.where(number < 0, number - leaves, number + nodes).astype(np.int32)

    moved = second._replace(root=later(second.root), left=later(second.left), right=later(second.right))
    return Trees(*(np.concatenate([getattr(first, name), getattr(moved, name)]) for name in DTYPES))


def tree_scores(trees: Trees, rows: npt.NDArray[np.float32]) -> FloatArray:
    """(n,) the sum of the leaves that each row falls into."""
    scores = np.zeros(len(rows))
    _walk(trees, np.ascontiguousarray(rows, np.float32), scores)
    return scores


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _walk(trees: Any, rows: Any, scores: Any) -> None:
    root, feature, threshold, left, right, value = trees.root, trees.feature, trees.threshold, trees.left, trees.right, trees.value
    for i in range(len(rows)):
        total = 0.0
        for t in range(len(root)):
            node = root[t]
            while node >= 0:
                node = left[node] if rows[i, feature[node]] <= threshold[node] else right[node]
            total += value[~node]
        scores[i] = total


def flatten(described: list[Mapping[str, Any]]) -> Trees:
    """Trees as LightGBM's `dump_model` describes them, without missing values and categories."""
    columns: dict[str, list[Any]] = {name: [] for name in DTYPES}
    for tree in described:
        columns["root"].append(_add(tree["tree_structure"], columns))
    return Trees(*(np.asarray(columns[name], dtype) for name, dtype in DTYPES.items()))


def _add(node: Mapping[str, Any], columns: dict[str, list[Any]]) -> int:
    """Appends a node and all below it; its number, ~leaf for a leaf."""
    if "leaf_value" in node and "split_feature" not in node:
        columns["value"].append(float(node["leaf_value"]))
        return ~(len(columns["value"]) - 1)
    at = len(columns["feature"])
    for name, found in (("feature", node["split_feature"]), ("threshold", float(node["threshold"])), ("left", 0), ("right", 0)):
        columns[name].append(found)
    columns["left"][at] = _add(node["left_child"], columns)
    columns["right"][at] = _add(node["right_child"], columns)
    return at


def parted(described: list[Mapping[str, Any]], n: int) -> tuple[Trees, Trees]:
    """The trees that ask about features before n, or about nothing, and those that ask about others; no tree may ask about both."""
    others = [tree["tree_structure"].get("split_feature", 0) >= n for tree in described]
    first, second = ([tree for tree, other in zip(described, others, strict=True) if other == wanted] for wanted in (False, True))
    return flatten(first), flatten(second)
