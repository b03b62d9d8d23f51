"""The policy that logs are asked about: a column of theirs, `uniform`, `only=ITEM`, `logged`, or a file of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.errors import DataError, UsageError, did_you_mean
from notif_rec.workflows.log_file import LogFile, read_table
from notif_rec.workflows.ope import LOGGED

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
UNIFORM, ONLY = "uniform", "only="
NEAR = 1e-3  # how far the probabilities of one context may miss 1


@dataclass(frozen=True)
class TargetPolicy:
    """chosen: (n,) π_e of the logged choice. shares: (n_contexts, n_choices) π_e of every choice, context: (n,) the row's; None where
    only the logged choice's is known. keys: the columns that tell contexts apart.
    """

    name: str
    chosen: FloatArray
    shares: FloatArray | None = None
    context: IntArray | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PolicyFile:
    """Rows of a policy file: item_id, probability, and the columns that tell contexts apart."""

    file: LogFile
    keys: tuple[str, ...]


def read_policy_file(spec: str | None) -> PolicyFile | None:
    """The file that `spec` names, where it names one; UsageError where it is no known word either."""
    if spec is None or spec in (LOGGED, UNIFORM) or spec.startswith(ONLY):
        return None
    path = Path(spec)
    if not path.exists():
        near = did_you_mean(spec, [LOGGED, UNIFORM, f"{ONLY}ITEM"])
        raise UsageError(f"'{spec}' is neither uniform, logged, only=ITEM nor a file{near}", "a policy file has item_id,probability")
    file = read_table(path, ("item_id", "probability"))
    return PolicyFile(file, tuple(name for name in file.text if name not in ("item_id", "probability")))


def target_policy(logs: LogFile, spec: str | None, propensity: FloatArray, given: PolicyFile | None) -> TargetPolicy:
    """The policy that `spec` means on these logs; None: the column target_propensity."""
    if spec is None:
        if not logs.has("target_propensity"):
            raise UsageError(
                f"{logs.path}: nothing says which policy to evaluate: there is no column 'target_propensity'",
                "--map target_propensity=HEADER, or --target uniform, only=ITEM or a file with item_id,probability",
            )
        return TargetPolicy("target_propensity", logs.numbers("target_propensity", 0.0, 1.0))
    if spec == LOGGED:
        return TargetPolicy(LOGGED, propensity)
    if not logs.has("item_id"):
        raise UsageError(
            f"{logs.path}: --target {spec} needs to know what was chosen: there is no column 'item_id'", "--map item_id=HEADER"
        )
    choice, names = logs.codes("item_id")
    nowhere = np.zeros(len(choice), dtype=np.int64)
    if given is not None:
        return _from_file(logs, spec, given, choice, names)
    shares = np.full((1, len(names)), 1.0 / len(names))
    if spec.startswith(ONLY):
        item = spec.removeprefix(ONLY)
        if item not in names:
            raise UsageError(f"{logs.path}: nobody chose '{item}'{did_you_mean(item, names)}", "name an item_id of the logs")
        shares = (np.arange(len(names)) == names.index(item)).astype(np.float64)[None, :]
    return TargetPolicy(spec, shares[0, choice], shares, nowhere)


def _from_file(logs: LogFile, spec: str, given: PolicyFile, choice: IntArray, names: Sequence[str]) -> TargetPolicy:
    """A file's probabilities by item and context; what it does not name it never chooses."""
    file = given.file
    probability = file.numbers("probability", 0.0, 1.0)
    context, contexts, own = _contexts(logs, file, given.keys)
    item = pc.fill_null(pc.index_in(file.text["item_id"], value_set=pa.array(names, pa.large_string())), -1).to_numpy().astype(np.int64)
    total = np.bincount(own[own >= 0], probability[own >= 0], len(contexts))
    if (total > 1.0 + NEAR).any():
        at = int(np.argmax(total))
        raise DataError(f"{file.path}: the probabilities of {contexts[at]} sum to {total[at]:g}", "they are at most 1 together")
    shares = np.zeros((len(contexts), len(names)))
    known = (own >= 0) & (item >= 0)
    np.add.at(shares, (own[known], item[known]), probability[known])
    missing = [c for c in range(len(contexts)) if total[c] == 0.0]
    if missing:
        raise DataError(f"{file.path}: no probability for {contexts[missing[0]]}", "give one for every item and context")
    short, never = float(total.min()), float(total.max() - shares.sum(axis=1).min())
    warnings = [f"{file.path}: some probabilities sum to {short:.3f} only"] if short < 1 - NEAR else []
    warnings += [f"{file.path}: up to {never:.1%} of the policy is for items that the logs never chose"] if never > NEAR else []
    return TargetPolicy(spec, shares[context, choice], shares, context, tuple(warnings))


def _contexts(logs: LogFile, file: LogFile, keys: Sequence[str]) -> tuple[IntArray, list[str], IntArray]:
    """(n,) the context of each logged row, the contexts in words, and that of each row of the policy file (-1: in no log)."""
    here, there = np.zeros(logs.rows, dtype=np.int64), np.zeros(file.rows, dtype=np.int64)
    for key in keys:
        names = pc.unique(logs.text[key])
        place = pc.fill_null(pc.index_in(file.text[key], value_set=names), -1).to_numpy().astype(np.int64)
        here = here * len(names) + pc.index_in(logs.text[key], value_set=names).to_numpy().astype(np.int64)
        there = np.where((place < 0) | (there < 0), -1, there * len(names) + place)
    distinct, first, context = np.unique(here, return_index=True, return_inverse=True)
    found = np.minimum(np.searchsorted(distinct, there), max(0, len(distinct) - 1))
    told = [", ".join(f"{key}={logs.text[key][int(row)].as_py()}" for key in keys) or "the policy" for row in first]
    return context.astype(np.int64), told, np.where(distinct[found] == there, found, -1)
