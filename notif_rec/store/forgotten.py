"""Who was forgotten: known again when a file names them, and told of by nothing else."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.store.rows import ForgottenRow

SEPARATORS = re.compile(r"""[,;|\t\r\n"']+""")


@dataclass(frozen=True)
class Forgotten:
    """The store's salt, and a row of the catalogue for each forgotten user."""

    salt: int = 0
    rows: tuple[ForgottenRow, ...] = ()

    @cached_property
    def _hashes(self) -> frozenset[str]:
        return frozenset(row.hash for row in self.rows)

    def hash_of(self, user_id: str) -> str:
        """What is kept of an id."""
        return hashlib.sha256(f"{self.salt}:{user_id}".encode()).hexdigest()

    def __contains__(self, user_id: str) -> bool:
        return self.hash_of(user_id) in self._hashes

    def among(self, ids: Any) -> npt.NDArray[np.bool_]:
        """(n,) which of some ids (an Arrow array of texts) are of forgotten users."""
        if not self.rows:
            return np.zeros(len(ids), np.bool_)
        return np.array([text is not None and text in self for text in ids.to_pylist()], np.bool_)

    def veiled(self, rejects: pa.Table) -> pa.Table:
        """Rejects (rejects.REJECTS) with the value blank where it quotes a forgotten user, be it inside a broken line."""
        if not self.rows or not rejects.num_rows:
            return rejects
        values = [None if self._quoted_in(value) else value for value in rejects.column("value").to_pylist()]
        return rejects.set_column(rejects.column_names.index("value"), "value", pa.array(values, pa.string()))

    def _quoted_in(self, text: str | None) -> bool:
        return any(word.strip() in self for word in SEPARATORS.split(text or ""))

    @property
    def unfinished(self) -> tuple[ForgottenRow, ...]:
        """Those of whom models and plans may still hold something."""
        return tuple(row for row in self.rows if row.code is not None)
