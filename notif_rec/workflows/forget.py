"""`forget`: erases users, whatever the store, its models, plans and published lists hold of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from notif_rec.errors import DataError, UsageError
from notif_rec.models.forget import forget_users
from notif_rec.store.erase import Codes, Erased, erase_rows, finish, without_users
from notif_rec.store.files import remove_folder
from notif_rec.store.store import Store
from notif_rec.workflows.publish import publish_anew


@dataclass(frozen=True)
class ForgetResult:
    """forgotten: users erased now. already: those who were before. rows: of each table that are gone. lists: published anew without them.

    missing: folders of published lists that are no longer where they were written, so that nothing could be done about them.
    """

    forgotten: int
    already: int
    rows: Mapping[str, int]
    segments: int
    models: int
    plans: int
    lists: int
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        return {**self.__dict__, "rows": dict(self.rows), "missing": list(self.missing)}


def forget(store: Store, ids: Sequence[str]) -> ForgetResult:
    """Erases the users; again = no-op, and what a crash left undone is done. UsageError, and nothing is done, where one is unknown.

    They are hidden and their rows rewritten in one commit; models, plans and lists follow. No later file brings them back.
    """
    with store.lock():
        known = store.forgotten()
        new = [user for user in dict.fromkeys(ids) if user not in known]
        codes = store.user_codes(pa.array(new, pa.string()), create=False)[0].to_numpy(zero_copy_only=False).astype(np.int32)
        if (codes < 0).any():
            unknown = new[int(np.argmin(codes))]
            raise UsageError(f"no user '{unknown}' in the store: nobody was forgotten", "ids are matched letter by letter: 007 is not 7")
        erased = erase_rows(store, new, codes) if new else Erased({}, 0)
        models, plans, lists, missing = clean_up(store)
    return ForgetResult(len(new), len(set(ids)) - len(new), erased.rows, erased.files, models, plans, lists, missing)


def clean_up(store: Store) -> tuple[int, int, int, tuple[str, ...]]:
    """How many models, plans and lists were rewritten without forgotten users of whom something was left, and folders that are gone.

    Call inside `store.lock()`.
    """
    left = store.forgotten().unfinished
    if not left:
        return 0, 0, 0, ()
    codes = np.array(sorted(row.code for row in left if row.code is not None), np.int32)
    models = sum(_out_of_model(store, row.path, codes) for row in store.models())
    plans = sum(without_users(path, codes) for path in sorted((store.root / "plans").glob("*/sends.parquet")))
    lists, missing = publish_anew(store)
    finish(store, left)
    return models, plans, lists, missing


def _out_of_model(store: Store, path: str, codes: Codes) -> bool:
    """A model that cannot be read is deleted: nobody can say what it holds."""
    folder = store.root / path
    if not folder.is_dir():
        return False
    try:
        return forget_users(folder, codes)
    except (DataError, OSError, KeyError, ValueError):
        remove_folder(folder)
        return True
