"""Items of like content as a walk: from a liked item to its words, and on to what is popular now among the items with such a word."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from notif_rec.models.regression import scaled
from notif_rec.models.similar import Neighbours, matrix_of, nearest, neighbours_of, trim_profiles

MOST = 100  # items that a liked one leads to
MOST_OF_A_WORD = 300  # the most popular items with a word; others are hardly ever among MOST


def fit_content(
    words: sparse.csr_matrix, likes: npt.NDArray[np.floating], popularity: npt.NDArray[np.floating], *, threads: int = 1
) -> Neighbours:
    """P(j | i) = Σ_w P(w | i) P(j | w) of the MOST items j that each liked item i leads to, itself left out.

    words: (n_items, n_words) TF-IDF, rows of length 1; P(w | i) is the square of its weight. P(j | w) is the share of j in what is popular
    now of all items with the word: what people of a taste will take next is what is taken now of its kind, be it new or old.
    likes: (n_items,) typical pairs. popularity: (n_items,) share now.
    """
    there = (sparse.diags_array((likes > 0).astype(np.float64)) @ words).power(2).tocsr()
    back = ((words.T > 0).astype(np.float64) @ sparse.diags_array(popularity.astype(np.float64))).tocsr()
    of_word = np.asarray(back.sum(axis=1), dtype=np.float64).ravel()
    back = (sparse.diags_array(1 / np.maximum(of_word, 1e-12)) @ back).tocsr()
    there.eliminate_zeros()
    back.eliminate_zeros()
    return nearest(there, trim_profiles(back, MOST_OF_A_WORD), np.ones(words.shape[0], np.float32), MOST, threads=threads)


def with_content(near: Neighbours, content: Neighbours, degree: npt.NDArray[np.float64], share: float) -> Neighbours:
    """`near`, where a like adds `share` more to items of like content, on the average of likes. degree: (n_items,) users who like each."""
    return neighbours_of(matrix_of(near) + scaled(matrix_of(content), degree, share))
