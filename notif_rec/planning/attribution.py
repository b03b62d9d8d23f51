"""Which send an outcome belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

ANY_CHANNEL = -1
NO_SEND = -1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def attribute(
    user_start: Array,
    send_us: Array,
    send_channel: Array,
    send_key: Array,
    item_start: Array,
    send_item: Array,
    row: Array,
    at_us: Array,
    channel: Array,
    item: Array,
    key: Array,
    window_us: int,
    found: Array,
) -> None:
    """Fills `found` with the send of each outcome, NO_SEND where there is none.

    Sends are ordered by (user, time); user u owns user_start[u]:user_start[u + 1], send s the items item_start[s]:item_start[s + 1].
    An outcome at t belongs to a send of its user in (t − window, t]: the newest with its key (0 = none), else the newest on its
    channel (ANY_CHANNEL: on any) that holds its item (negative: any). One send key names one send, whatever the channel says.
    """
    for outcome in range(len(row)):
        found[outcome] = fallback = NO_SEND
        first = user_start[row[outcome]]
        send = first + np.searchsorted(send_us[first : user_start[row[outcome] + 1]], at_us[outcome], side="right") - 1
        while send >= first and send_us[send] > at_us[outcome] - window_us:
            if key[outcome] != 0 and send_key[send] == key[outcome]:
                found[outcome] = send
                break
            if fallback == NO_SEND and (channel[outcome] == ANY_CHANNEL or channel[outcome] == send_channel[send]):
                holds = item[outcome] < 0
                for at in range(item_start[send], item_start[send + 1]):
                    holds = holds or send_item[at] == item[outcome]
                if holds:
                    fallback = send
                    if key[outcome] == 0:
                        break
            send -= 1
        if found[outcome] == NO_SEND:
            found[outcome] = fallback
