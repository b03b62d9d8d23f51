"""Audiences: `country=DE|AT;tier=gold` holds for users whose attributes match every part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.errors import DataError

Audience = tuple[tuple[str, tuple[str, ...]], ...]  # (attribute, accepted values), all of which must hold


def parse_audience(text: str) -> Audience:
    """The parts of an audience; an empty text is everybody. Raises DataError where a part is not `attribute=value|value`."""
    parts = [part for part in text.split(";") if part.strip()]
    return tuple(_part(part, text) for part in parts)


def _part(part: str, text: str) -> tuple[str, tuple[str, ...]]:
    key, equals, values = part.partition("=")
    accepted = tuple(value.strip() for value in values.split("|") if value.strip())
    if not equals or not key.strip() or not accepted:
        raise DataError(f"audience '{text}': '{part.strip()}' is not attribute=value|value", "write it as country=DE|AT;tier=gold")
    return key.strip(), accepted


def in_audience(audiences: Sequence[Audience], attributes: Mapping[str, pa.DictionaryArray], n_users: int) -> npt.NDArray[np.bool_]:
    """(n_users, n_audiences) True where a user's attributes match; a missing attribute matches nothing.

    attributes: dictionary-encoded texts by name, one value a user.
    """
    inside = np.ones((n_users, len(audiences)), dtype=np.bool_)
    for column, audience in enumerate(audiences):
        for key, accepted in audience:
            inside[:, column] &= _matches(attributes[key], accepted)
    return inside


def _matches(texts: pa.DictionaryArray, accepted: Sequence[str]) -> npt.NDArray[np.bool_]:
    known = np.array([value in accepted for value in texts.dictionary.to_pylist()] + [False], dtype=np.bool_)
    codes = texts.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)
    matches: npt.NDArray[np.bool_] = known[codes]
    return matches
