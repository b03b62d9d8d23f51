"""A user's menu: the chosen set, the best without each limited thing it takes, and the best with what it leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.planning.bundle import Past, Pool, fill_bundle, new_bundle
from notif_rec.planning.caps import Caps, Fatigues
from notif_rec.planning.cells import Takings
from notif_rec.planning.compiled import inner, kernel
from notif_rec.planning.draft import clear, join, leave, may_join, net_of, new_draft, paid_by, value_of
from notif_rec.planning.menus import Menus
from notif_rec.planning.tiring import new_tiring

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BitArray = npt.NDArray[np.uint64]
MOST_OFFERS = 64  # of a user: a set is the bits of a word
JOINERS = 2  # offers that may fill the place of what a set does without
ALL_IN = -1e-6  # a price at which every offer counts, worthless ones too


def list_menus(
    pool: Pool, past: Past, room: IntArray, caps: Caps, fatigues: Fatigues, takings: Takings, chosen: npt.NDArray[np.bool_],
    alone: npt.NDArray[np.bool_], drawn: npt.NDArray[np.bool_], toll: FloatArray, most: int,
) -> tuple[Menus, BitArray]:  # fmt: skip
    """Up to `most` entries a user, the chosen set first, and their offers. A user of `alone` may else have what is `drawn` of it.

    toll: (n_offers,) the part of the price that no quota charges, and that an entry's value has paid. Bit i of an entry is the user's
    i-th offer. Only usable offers of `pool` are in it; what an entry takes is what its offers take.
    """
    n_users = len(pool.start) - 1
    widest, longest = int(np.diff(pool.start).max(initial=0)) + 1, int(np.diff(past.start).max(initial=0))
    count, bits, value = np.zeros(n_users, np.int64), np.zeros((n_users, most), np.uint64), np.zeros((n_users, most))
    bundle, tiring = new_bundle(widest, len(caps.rule), room.shape[1], longest), new_tiring(widest, len(fatigues.keep))
    draft = new_draft(widest, longest, room.shape[1], most, int(pool.content.max(initial=0)))
    free, price = pool._replace(price=np.full(len(pool.price), ALL_IN)), np.stack([pool.price, toll])
    _list(free, price, past, room, caps, fatigues, takings, chosen, alone, drawn, bundle, tiring, draft, count, bits, value)
    kept = np.arange(most)[None, :] < count[:, None]
    start = np.concatenate(([0], np.cumsum(count)))
    return _taking(pool, takings, start, value[kept], bits[kept]), bits[kept]


def _taking(pool: Pool, takings: Takings, start: IntArray, value: FloatArray, bits: BitArray) -> Menus:
    """The entries with what they take, each cell once."""
    first, empty = np.zeros(len(value) + 1, np.int64), np.zeros(0, np.int32)
    most = int(np.diff(takings.first).max(initial=0)) * MOST_OFFERS
    scratch = np.zeros((2, most), np.int32)
    _gather(pool.start, start, bits, takings, scratch, first, empty, empty)
    first = np.cumsum(first)
    cell, amount = np.zeros(first[-1], np.int32), np.zeros(first[-1], np.int32)
    _gather(pool.start, start, bits, takings, scratch, first, cell, amount)
    return Menus(start, value, first, cell, amount)


@kernel
def _list(
    pool: Any, price: Any, past: Any, room: Any, caps: Any, fatigues: Any, takings: Any, chosen: Any, alone: Any, drawn: Any,
    bundle: Any, tiring: Any, draft: Any, count: Any, bits: Any, value: Any,
) -> None:  # fmt: skip
    for u in range(len(pool.start) - 1):
        fill_bundle(u, pool, past, room[u], caps, fatigues, tiring, bundle)
        draft.size[0], draft.size[2], draft.size[3] = 0, 0, pool.start[u]
        for i in range(bundle.n[0]):
            if chosen[bundle.row[i]]:
                draft.own[draft.size[0]] = i
                draft.size[0] += 1
        _without(-1, pool, price, caps, bundle, draft)
        if alone[u]:
            clear(draft)
            for j in range(draft.size[0]):
                if drawn[bundle.row[draft.own[j]]]:
                    join(draft.own[j], bundle, draft)
            _record(len(draft.bits), price, bundle, draft)
        else:
            _mark(bundle, takings, draft)
            for k in range(draft.size[4]):
                _without(k, pool, price, caps, bundle, draft)
            kept = draft.size[2]
            for j in range(draft.size[0]):
                draft.tried[bundle.content[draft.own[j]]] = u + 1
            for i in range(bundle.n[0]):
                if draft.tried[bundle.content[i]] != u + 1 and _with(i, kept, pool, price, caps, bundle, draft):
                    draft.tried[bundle.content[i]] = u + 1  # at another moment it takes the same
        for e in range(draft.size[2]):
            bits[u, e], value[u, e] = draft.bits[e], draft.value[e]
        count[u] = draft.size[2]


@inner
def _mark(bundle: Any, takings: Any, draft: Any) -> None:
    """Notes which cells the chosen set takes, and which of these each offer takes."""
    cells, n = draft.cells, 0
    for j in range(draft.size[0]):
        row = bundle.row[draft.own[j]]
        for k in range(takings.first[row], takings.first[row + 1]):
            at = 0
            while at < n and cells[at] != takings.cell[k]:
                at += 1
            if at == n and n < len(cells):
                cells[n] = takings.cell[k]
                n += 1
    draft.size[4] = n
    for i in range(bundle.n[0]):
        row, held = bundle.row[i], np.uint64(0)
        for k in range(takings.first[row], takings.first[row + 1]):
            for at in range(n):
                if cells[at] == takings.cell[k]:
                    held |= np.uint64(1) << np.uint64(at)
                    break
        draft.holds[i] = held


@inner
def _without(place: int, pool: Any, price: Any, caps: Any, bundle: Any, draft: Any) -> None:
    """Adds the chosen set less all that takes of a cell (-1: the set itself), its place filled by what gains most.

    price: (2, n_offers) all that an offer pays, and the toll in it.
    """
    clear(draft)
    bit = np.uint64(0) if place < 0 else np.uint64(1) << np.uint64(place)
    for j in range(draft.size[0]):
        if place < 0 or not draft.holds[draft.own[j]] & bit:
            join(draft.own[j], bundle, draft)
    for _ in range(0 if place < 0 else JOINERS):
        before, best, best_gain = net_of(price[0], bundle, draft), -1, 0.0
        for i in range(bundle.n[0]):
            if draft.holds[i] & bit or bundle.value[i] - price[0, bundle.row[i]] <= best_gain:  # nothing gains more than it is worth alone
                continue
            if not may_join(i, pool, caps, bundle, draft):
                continue
            join(i, bundle, draft)
            gain = net_of(price[0], bundle, draft) - before
            leave(draft.size[1] - 1, bundle, draft)
            if gain > best_gain:
                best, best_gain = i, gain
        if best < 0:
            break
        join(best, bundle, draft)
    _record(len(draft.bits), price, bundle, draft)


@inner
def _with(i: int, kept: int, pool: Any, price: Any, caps: Any, bundle: Any, draft: Any) -> bool:
    """Adds offer i and as much of the chosen set as agrees with it, among the entries after the first `kept`; whether it could."""
    clear(draft)
    reach = bundle.value[i] - price[0, bundle.row[i]]  # fatigue apart
    for k in range(draft.size[0]):
        j = draft.own[k]
        if not bundle.conflict[i, j]:
            join(j, bundle, draft)
            reach += bundle.value[j] - price[0, bundle.row[j]]
    if draft.size[2] == len(draft.bits) and reach <= draft.net[draft.size[2] - 1]:
        return False
    while draft.size[1] > 0 and not may_join(i, pool, caps, bundle, draft):
        worst, least = -1, 0.0
        full = draft.used[bundle.channel[i]] >= bundle.room[bundle.channel[i]]
        for d in range(draft.size[1]):
            j = draft.trial[d]
            if full and bundle.channel[j] != bundle.channel[i]:
                continue
            if worst < 0 or bundle.value[j] - price[0, bundle.row[j]] <= least:
                worst, least = d, bundle.value[j] - price[0, bundle.row[j]]
        leave(worst if worst >= 0 else draft.size[1] - 1, bundle, draft)
    if not may_join(i, pool, caps, bundle, draft):
        return False
    join(i, bundle, draft)
    _record(kept, price, bundle, draft)
    return True


@inner
def _record(kept: int, price: Any, bundle: Any, draft: Any) -> None:
    """Adds the trial to the entries unless it is there already: at the end, or among those after `kept` by its net value."""
    if draft.size[1] == 0:
        return
    bits, n = np.uint64(0), draft.size[2]
    for d in range(draft.size[1]):
        row = bundle.row[draft.trial[d]]
        bits |= np.uint64(1) << np.uint64(row - draft.size[3])
    for e in range(n):
        if draft.bits[e] == bits:
            return
    gross = value_of(bundle, draft)
    value, net, k = gross - paid_by(price[1], bundle, draft), gross - paid_by(price[0], bundle, draft), n
    while k > kept and draft.net[k - 1] < net:
        k -= 1
    if k == len(draft.bits):
        return
    for e in range(min(n, len(draft.bits) - 1), k, -1):
        draft.bits[e], draft.value[e], draft.net[e] = draft.bits[e - 1], draft.value[e - 1], draft.net[e - 1]
    draft.bits[k], draft.value[k], draft.net[k] = bits, value, net
    draft.size[2] = min(n + 1, len(draft.bits))


@kernel
def _gather(offers: Any, start: Any, bits: Any, takings: Any, scratch: Any, first: Any, cell: Any, amount: Any) -> None:
    """Counts the cells of entry e into first[e + 1] where `cell` is empty, else fills `cell` and `amount` from first[e] on."""
    for u in range(len(start) - 1):
        for e in range(start[u], start[u + 1]):
            n, rest, row = 0, bits[e], offers[u]
            while rest:
                if rest & np.uint64(1):
                    for k in range(takings.first[row], takings.first[row + 1]):
                        at = 0
                        while at < n and scratch[0, at] != takings.cell[k]:
                            at += 1
                        if at == n:
                            scratch[0, at], scratch[1, at] = takings.cell[k], 0
                            n += 1
                        scratch[1, at] += takings.amount[k]
                rest >>= np.uint64(1)
                row += 1
            if len(cell) == 0:
                first[e + 1] = n
                continue
            for at in range(n):
                cell[first[e] + at], amount[first[e] + at] = scratch[0, at], scratch[1, at]
