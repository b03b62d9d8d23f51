"""New items beside known ones of like content: what is found of these is expected of those."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from notif_rec.models.similar import Neighbours, matrix_of, nearest, neighbours_of, trim_profiles
from notif_rec.models.text import HALF_HEARD

MOSTLY = 0.5  # an item that is less new than this speaks for itself
MOST = 20  # known items that speak for a new one
MOST_OF_A_WORD = 1000  # the best known items with a word; of a common one all the others say nothing new
DOUBT = 1.0  # likeness that nothing at all counts for, so that a lone, distant item is not believed


def fit_alike(
    words: sparse.csr_matrix, evidence: npt.NDArray[np.floating], new: npt.NDArray[np.floating], *, threads: int = 1
) -> Neighbours:
    """The known items that speak for each new one, with weights that add up to less than `new`; none for the others.

    words: (n_items, n_words) TF-IDF, rows of length 1. evidence: (n_items,) typical pairs n. new: (n_items,) 1 to 0. A known item
    speaks by its cosine with the new one, times n / (n + HALF_HEARD); a kernel regression (Nadaraya-Watson) on the MOST nearest.
    """
    shown = new >= MOSTLY
    heard = np.where(shown, 0.0, evidence / (evidence + HALF_HEARD))
    there = (sparse.diags_array(shown.astype(np.float64)) @ words).tocsr()
    back = (words.T @ sparse.diags_array(heard)).tocsr()
    there.eliminate_zeros()
    back.eliminate_zeros()
    found = nearest(there, trim_profiles(back, MOST_OF_A_WORD), np.ones(len(new), np.float32), MOST, threads=threads)
    likeness = matrix_of(found)
    total = np.asarray(likeness.sum(axis=1), dtype=np.float64).ravel()
    return neighbours_of(sparse.diags_array(new / (total + DOUBT)) @ likeness)
