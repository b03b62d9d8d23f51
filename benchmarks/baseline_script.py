"""The script that one would write instead: pandas for the files, implicit for the ranking, a loop over users for the caps.

Written fairly: vectorised where pandas makes it easy, one BLAS thread as implicit advises, history looked up in dictionaries.
It keeps the rules that the benchmark's config states (quiet hours, caps, gap, no repeats, digests) and nothing else: no ledger,
no probabilities, no certificate. `python baseline_script.py FOLDER OUT AS_OF` prints seconds (wall, processor) and sends as JSON.
"""

import json
import os
import sys
import time
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import implicit
import numpy as np
import pandas as pd
import scipy.sparse as sp

WEIGHTS = {"view": 1.0, "save": 4.0, "purchase": 8.0, "clicked": 4.0, "opened": 1.0}
CHANNELS = {"push": (1, 2), "email": (6, 1), "in_app": (3, 2)}  # items per send, sends a plan
QUIET_FROM, QUIET_TO = 21, 8
TRANSFER, HALF_LIFE_DAYS, CANDIDATES = 0.5, 90.0, 50


def read(folder: Path):
    """Events, users and items as data frames."""
    events = pd.concat([pd.read_csv(f, dtype=str, keep_default_na=False) for f in sorted(folder.glob("events-*.csv"))])
    events = events.drop_duplicates()
    events["timestamp"] = pd.to_datetime(events["timestamp"], format="ISO8601", utc=True).dt.tz_localize(None)
    users = pd.read_csv(folder / "users.csv", dtype=str, keep_default_na=False).drop_duplicates("user_id", keep="last")
    items = pd.read_csv(folder / "items.csv", dtype=str, keep_default_na=False).drop_duplicates("item_id", keep="last")
    return events, users, items


def fit(events, users, items, as_of):
    """A ranking model and its matrix per channel."""
    user_code = {u: i for i, u in enumerate(sorted(set(users.user_id) | set(events.user_id)))}
    item_code = {x: i for i, x in enumerate(sorted(set(items.item_id) | set(events.item_id)))}
    past = events[(events.timestamp < as_of) & events.event.isin(WEIGHTS)]
    age = (as_of - past.timestamp).dt.total_seconds().to_numpy() / 86400
    weight = past.event.map(WEIGHTS).to_numpy() * 0.5 ** (age / HALF_LIFE_DAYS)
    rows, columns = past.user_id.map(user_code).to_numpy(), past.item_id.map(item_code).to_numpy()
    fitted = {}
    for channel in CHANNELS:
        own = weight * np.where(past.channel.to_numpy() == channel, 1.0, TRANSFER)
        matrix = sp.csr_matrix((own.astype(np.float32), (rows, columns)), shape=(len(user_code), len(item_code)))
        matrix.sum_duplicates()
        model = implicit.als.AlternatingLeastSquares(factors=64, iterations=12, regularization=0.05, alpha=10.0, random_state=1)
        model.fit(matrix, show_progress=False)
        fitted[channel] = (model, matrix)
    return user_code, item_code, fitted


def recommend(user_code, fitted):
    """Per channel the ids and scores of the best items of every user."""
    codes = np.arange(len(user_code))
    return {c: model.recommend(codes, matrix, N=CANDIDATES, filter_already_liked_items=True) for c, (model, matrix) in fitted.items()}


def history(events, as_of):
    """Past sends per user and channel, and items per user."""
    sent = events[(events.event == "sent") & (events.timestamp >= as_of - timedelta(days=30))]
    times, seen = defaultdict(lambda: defaultdict(list)), defaultdict(set)
    for user, item, channel, at in zip(sent.user_id, sent.item_id, sent.channel, sent.timestamp.dt.to_pydatetime(), strict=True):
        times[user][channel].append(at)
        seen[user].add(item)
    return times, seen


def opted_out(events):
    """(user, channel) pairs that unsubscribed."""
    gone = events[events.event == "unsubscribed"]
    return set(zip(gone.user_id, gone.channel, strict=True))


def allowed(sends, channel, at):
    """Whether the caps leave room for one more send at a moment."""
    push = [t for t in sends["push"] if abs(at - t) < timedelta(days=1)]
    if channel == "push" and len(push) >= 2:
        return False
    if channel == "email" and any(t.date() == at.date() for t in sends["email"]):
        return False
    week = [t for c in CHANNELS for t in sends[c] if abs(at - t) < timedelta(days=7)]
    if len(week) >= 6:
        return False
    return channel == "in_app" or all(abs(at - t) >= timedelta(hours=4) for c in ("push", "email") for t in sends[c])


def moments(zone, as_of, channel):
    """The hours of the next day at which the channel may send, the best ones first."""
    for hour in (18, 12, 9, 20, 15, 10):
        at = (as_of + timedelta(hours=hour)).replace(tzinfo=ZoneInfo("UTC"))
        local = at.astimezone(zone).hour
        if channel != "push" or QUIET_TO <= local < QUIET_FROM:
            yield at.replace(tzinfo=None)


def plan(users, items, user_code, item_code, lists, times, seen, gone, as_of):
    """The sends of the next day, user by user."""
    item_ids = np.array(sorted(item_code, key=item_code.get))
    alive = set(items[(items.expires_at == "") | (items.expires_at > as_of.strftime("%Y-%m-%dT%H:%M:%SZ"))].item_id)
    sends = []
    for user in users.itertuples(index=False):
        zone, row = ZoneInfo(user.timezone or "UTC"), user_code[user.user_id]
        mine, used = times[user.user_id], set(seen[user.user_id])
        for channel, (size, most) in CHANNELS.items():
            if getattr(user, channel) == "no" or (user.user_id, channel) in gone:
                continue
            ids, scores = lists[channel]
            ranked = [(item_ids[i], s) for i, s in zip(ids[row], scores[row], strict=True) if i >= 0 and s > -1e30]
            for _ in range(most):
                chosen = [(i, s) for i, s in ranked if i in alive and i not in used][:size]
                at = next((t for t in moments(zone, as_of, channel) if allowed(mine, channel, t)), None)
                if not chosen or at is None:
                    break
                mine[channel].append(at)
                used.update(i for i, _ in chosen)
                sends += [(channel, user.user_id, place, i, at, s) for place, (i, s) in enumerate(chosen, start=1)]
    return pd.DataFrame(sends, columns=["channel", "user_id", "position", "item_id", "send_at", "score"])


def write(sends, out: Path):
    """One ranked list per channel."""
    out.mkdir(parents=True, exist_ok=True)
    for channel in CHANNELS:
        mine = sends[sends.channel == channel].sort_values(["score", "user_id", "position"], ascending=[False, True, True])
        mine.to_csv(out / f"{channel}.csv", index=False)


def main() -> None:
    """Runs every stage and prints its seconds."""
    folder, out, as_of = Path(sys.argv[1]), Path(sys.argv[2]), pd.Timestamp(sys.argv[3]).tz_localize(None).to_pydatetime()
    seconds, cpu, wall, used = {}, {}, time.perf_counter(), time.process_time()

    def lap(name):
        nonlocal wall, used
        seconds[name], cpu[name] = time.perf_counter() - wall, time.process_time() - used
        wall, used = time.perf_counter(), time.process_time()

    events, users, items = read(folder)
    lap("ingest")
    user_code, item_code, fitted = fit(events, users, items, as_of)
    lap("train")
    lists = recommend(user_code, fitted)
    times, seen = history(events, as_of)
    sends = plan(users, items, user_code, item_code, lists, times, seen, opted_out(events), as_of)
    lap("plan")
    write(sends, out)
    lap("apply")
    print(json.dumps({"seconds": seconds, "cpu": cpu, "sends": sends[sends.position == 1].channel.value_counts().to_dict()}))


if __name__ == "__main__":
    main()
