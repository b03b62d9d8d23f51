"""Past → the history that features are counted from, each group by user and in order of time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from notif_rec.planning.answers import Answers, visits
from notif_rec.planning.bucket import LONG_AGO, UNSAID, Array, Events, Past, event_names
from notif_rec.planning.facts import Facts
from notif_rec.planning.item_counts import ItemIndex
from notif_rec.planning.sends import Sends
from notif_rec.scoring.features import N_FEATURES, NEVER, History, Lens, features_of
from notif_rec.scoring.item_cells import Signs
from notif_rec.tables import CONSENTS, NO_ITEM

PROVISIONAL = CONSENTS.index("provisional")


def history_of(past: Past, sends: Sends, answers: Answers, facts: Facts) -> History:
    """What the features of the users of `past` are counted from."""
    n, answer, visit = len(past.users), answers.heard, past.events.where(visits(past.events))
    of_answer, of_visit = np.lexsort((answer.channel, answer.at_us, answer.row)), np.lexsort((visit.at_us, visit.row))
    click_row = sends.row[answers.click_send]
    of_click = np.lexsort((sends.channel[answers.click_send], answers.click_us, click_row))
    return History(
        send_start=_starts(sends.row, n),
        send_us=sends.at_us,
        send_channel=sends.channel,
        n_items=np.diff(sends.item_start).astype(np.int32),
        opened_us=answers.opened_us,
        clicked_us=answers.clicked_us,
        blind=answers.blind,
        click_start=_starts(click_row[of_click], n),
        click_us=answers.click_us[of_click],
        click_channel=sends.channel[answers.click_send][of_click],
        answer_start=_starts(answer.row[of_answer], n),
        answer_us=answer.at_us[of_answer],
        answer_channel=answer.channel[of_answer],
        visit_start=_starts(visit.row[of_visit], n),
        visit_us=visit.at_us[of_visit],
        first_us=_first_known(past),
        provisional_us=_provisional(past, facts),
    )


def signs_of_taste(events: Events, index: ItemIndex, facts: Facts, n: int) -> Signs:
    """Every event that says something about taste, by user and in order of time, with the category of its item."""
    weights = np.array([facts.event_weights.get(name, 0.0) for name in event_names(facts)] + [0.0])  # the last: events of no name here
    told = events.where((weights[events.event] > 0) & (events.item != NO_ITEM))
    category, _ = index.of(told.item)
    order = np.lexsort((category, told.at_us, told.row))
    return Signs(_starts(told.row[order], n), told.at_us[order], category[order])


def features_now(history: History, facts: Facts, now: int) -> npt.NDArray[np.float32]:
    """(n_users, n_channels · N_FEATURES) as of one moment."""
    n, n_channels = len(history.first_us), len(facts.channels)
    user, channel = np.repeat(np.arange(n), n_channels), np.tile(np.arange(n_channels), n)
    found = features_of(history, user, channel, np.full(len(user), now, np.int64), lens_of(facts))
    return found.reshape(n, n_channels * N_FEATURES)


def lens_of(facts: Facts) -> Lens:
    """The facts that features depend on."""
    n = len(facts.channels)
    return Lens(
        lookback_us=facts.response_us,
        benchmarks=np.array(facts.benchmarks or ((0.0, 0.0),) * n, np.float64).reshape(n, 2),
        half_life_us=np.array(facts.tiring_half_life_us or (3 * 86_400_000_000,) * n, np.float64),
        spill=np.array(facts.spill, np.float64) if facts.spill else np.eye(n),
    )


def _starts(row: Array, n: int) -> npt.NDArray[np.int64]:
    """Where each user's rows begin; `row` ascends."""
    return np.searchsorted(row, np.arange(n + 1)).astype(np.int64)


def _first_known(past: Past) -> npt.NDArray[np.int64]:
    first = np.full(len(past.users), NEVER, np.int64)
    np.minimum.at(first, past.events.row, past.events.at_us)
    created = past.users.created_us
    return np.where(created != LONG_AGO, created, first)


def _provisional(past: Past, facts: Facts) -> npt.NDArray[np.int64]:
    silent = np.array([consent == CONSENTS[PROVISIONAL] for consent in facts.consent], np.bool_)
    word, since = past.users.consent_word, past.users.consent_us
    said = np.where(word == PROVISIONAL, since, NEVER)
    return np.where((word == UNSAID) & silent[None, :], LONG_AGO, said)
