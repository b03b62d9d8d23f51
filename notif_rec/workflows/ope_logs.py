"""`ope --logs`: a plain file of logged choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from notif_rec.causal.logged import Logged, one_choice_a_row
from notif_rec.causal.reward_model import RewardModel, fit_reward
from notif_rec.errors import DataError, UsageError
from notif_rec.workflows.log_file import LogFile, feature_columns, read_log_file
from notif_rec.workflows.ope import LOGGED, OpeResult, answer
from notif_rec.workflows.target_policy import TargetPolicy, read_policy_file, target_policy

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def evaluate_logs(
    path: Path,
    target: str | None = None,
    against: str = LOGGED,
    *,
    mapping: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    features: Sequence[str] = (),
    seed: int = 1,
) -> OpeResult:
    """The value of the policy `target` from the logs in `path`, and how far it is above `against`; both as target_policy takes them.

    features: columns that foretell the reward, numbers or words. DataError where the logs are broken or cannot speak for a policy.
    """
    files = read_policy_file(target), read_policy_file(None if against == LOGGED else against)
    keys = [key for file in files if file is not None for key in file.keys]
    logs = read_log_file(path, mapping or {}, constants or {}, [*features, *keys])
    propensity, reward = logs.numbers("propensity", 0.0, 1.0, above=0.0), logs.numbers("reward")
    asked = target_policy(logs, target, propensity, files[0])
    other = None if against == LOGGED else target_policy(logs, against, propensity, files[1])
    cluster, notes = _clusters(logs)
    model = _model(logs, asked, reward, features, cluster, seed)

    def logged(policy: TargetPolicy) -> Logged:
        predicted, direct = _predictions(logs, policy, model)
        return one_choice_a_row(cluster, reward, propensity, policy.chosen, predicted, direct)

    choices = asked.shares.shape[1] if asked.shares is not None else None
    return answer(
        source=str(path),
        target=(asked.name, logged(asked)),
        against=None if other is None else (other.name, logged(other)),
        choices=choices,
        left_out=logs.left_out,
        notes=(*notes, *asked.warnings, *(other.warnings if other else ())),
        detail={"users": int(cluster.max(initial=-1)) + 1, "choices": choices},
        seed=seed,
    )


def _clusters(logs: LogFile) -> tuple[IntArray, tuple[str, ...]]:
    """(n,) the user of each row."""
    if logs.has("user_id"):
        return logs.codes("user_id")[0], ()
    return np.arange(logs.rows), ("no column user_id: rows are taken for independent users; --map user_id=HEADER where they are not",)


def _model(
    logs: LogFile, policy: TargetPolicy, reward: FloatArray, features: Sequence[str], cluster: IntArray, seed: int
) -> RewardModel | None:
    """A model of the reward where the whole policy is known, so that its predictions can be averaged over what it would do."""
    if policy.shares is None:
        if features:
            raise UsageError(
                "--features needs to know every choice's probability, and a column holds the logged choice's alone",
                "name the policy with --target, or bring your own predictions in columns predicted and predicted_target",
            )
        return None
    choice, names = logs.codes("item_id")
    columns = [column for name in features for column in feature_columns(logs, name)]
    matrix = np.stack(columns, axis=1) if columns else np.zeros((logs.rows, 0))
    return fit_reward(reward, choice, len(names), matrix, cluster, seed)


def _predictions(logs: LogFile, policy: TargetPolicy, model: RewardModel | None) -> tuple[FloatArray | None, FloatArray | None]:
    """q̂ of the logged choice, and its mean over the policy's own choices."""
    if model is not None and policy.shares is not None and policy.context is not None:
        return model.of(logs.codes("item_id")[0]), model.direct(policy.shares, policy.context)
    given = [name for name in ("predicted", "predicted_target") if logs.has(name)]
    if len(given) == 1:
        raise DataError(
            f"{logs.path}: predicted and predicted_target go together, and only '{given[0]}' is there", "bring both, or neither"
        )
    return (logs.numbers("predicted"), logs.numbers("predicted_target")) if given else (None, None)
