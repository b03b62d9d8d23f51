"""What fewer offers cost, against every set of the many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from notif_rec.planning.offers import make_offers
from notif_rec.planning.pruning import WIDER, pruning_batch
from tests.planning.truth import best_worth, options
from tests.planning.worlds import random_world

SEEDS = range(60)


def test_the_few_are_held_against_the_best_set_of_the_many() -> None:
    lost = 0
    for seed in SEEDS:
        world = random_world(seed, max_offers=2)
        context = world.context()
        few = pruning_batch(world.batch(context), context).to_pylist()[0]
        many = replace(context, settings=replace(context.settings, max_offers=WIDER * 2))
        for told, some in ((few["kept"], context), (few["wider"], many)):
            offers = make_offers(world.batch(some), some)
            assert told == pytest.approx(best_worth(world, world.people[0], options(world, offers, some, 0)), abs=1e-9), seed
        assert few["kept"] <= few["wider"] <= few["limit"] + 1e-12
        lost += few["kept"] < few["wider"] - 1e-9
    assert lost > 10  # two offers are too few for many


def test_offers_that_are_all_there_is_lose_nothing() -> None:
    world = random_world(3, 20, max_offers=400)
    context = world.context()
    found = pruning_batch(world.batch(context), context)
    assert np.array_equal(found.column("kept").to_numpy(), found.column("wider").to_numpy())
    assert found.column("kept").to_numpy().sum() > 0
