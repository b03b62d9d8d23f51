"""Lists on a news site: most of what is read tomorrow is new today, and yesterday's news is dead. Generated; through the installed command.

    python benchmarks/news.py [--articles 20000] [--users 30000] [--events 300000] [--days 20] [--no-text]

An article has a topic, a time of publication, a draw of how many read it, and is read less and less, with a half-life of hours. Readers
have topics that they like. `--no-text` leaves of an article its category alone, as public logs do.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pipeline import measure

TOPICS, WORDS_OF_TOPIC, WORDS_OF_ALL = 40, 60, 400
HALF_LIVES_H = (3.0, 12.0)  # of the interest in an article, from and to
OWN_TOPIC = 0.6  # of what is read, by the reader's own topics; the rest is what everybody reads
START = datetime(2026, 3, 1)


def make(folder: Path, given: argparse.Namespace) -> datetime:
    """Files of items and events in `folder`; the moment after the last event."""
    rng = np.random.default_rng(given.seed)
    hours = given.days * 24
    topic = rng.choice(TOPICS, given.articles, p=_shares(rng, TOPICS))
    published = np.sort(rng.uniform(-48, hours, given.articles))
    write_items(folder / "items.csv", rng, topic, published, given.text)
    user, item, at = read(rng, topic, published, hours, given)
    with (folder / "events.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("user_id", "item_id", "channel", "event", "timestamp"))
        rows.writerows((f"u{u}", f"a{i}", "", "read", _text(t)) for u, i, t in zip(user.tolist(), item.tolist(), at.tolist(), strict=True))
    return START + timedelta(hours=hours)


def read(rng: np.random.Generator, topic: Any, published: Any, hours: int, given: argparse.Namespace) -> tuple[Any, Any, Any]:
    """(user, article, hour) of each read: by hour of the day, by who reads how much, by what is alive and liked then."""
    quality = rng.lognormal(0, 1.3, given.articles)
    fading = np.log(2) / rng.uniform(*HALF_LIVES_H, given.articles)
    likes = rng.dirichlet(np.full(TOPICS, 0.1), given.users)
    activity = rng.pareto(1.5, given.users) + 0.2
    per_hour = rng.multinomial(given.events, _shares(rng, 24)[np.arange(hours) % 24] / given.days)
    found = []
    for hour, n in enumerate(per_hour):
        age = hour + 0.5 - published
        alive = np.flatnonzero((age > 0) & (age < 96))
        pull = quality[alive] * np.exp(-fading[alive] * age[alive])
        user = rng.choice(given.users, n, p=activity / activity.sum())
        fits = likes[user][:, topic[alive]] * pull
        wanted = OWN_TOPIC * fits / fits.sum(axis=1, keepdims=True) + (1 - OWN_TOPIC) * pull / pull.sum()
        item = alive[(wanted.cumsum(axis=1) < rng.random((n, 1)) * wanted.sum(axis=1, keepdims=True)).sum(axis=1).clip(max=len(alive) - 1)]
        found.append((user, item, np.maximum(hour + rng.random(n), published[item])))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def write_items(path: Path, rng: np.random.Generator, topic: Any, published: Any, text: bool) -> None:
    """Title of eight words, most of them the topic's own; category; time of publication."""
    own = rng.integers(0, WORDS_OF_TOPIC, (len(topic), 5))
    common = rng.integers(0, WORDS_OF_ALL, (len(topic), 3))
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("item_id", "title", "category", "created_at"))
        for i, (of, at) in enumerate(zip(topic.tolist(), published.tolist(), strict=True)):
            words = [f"t{of}w{w}" for w in own[i]] + [f"w{w}" for w in common[i]] if text else []
            rows.writerow((f"a{i}", " ".join(words), f"topic{of}", _text(at)))


def _shares(rng: np.random.Generator, n: int) -> Any:
    return rng.dirichlet(np.full(n, 3.0))


def _text(hour: float) -> str:
    return (START + timedelta(hours=hour)).isoformat(timespec="seconds") + "Z"


def main() -> None:
    """Makes a site, and evaluates at several moments; processor seconds and peak memory of each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("articles", 20_000), ("users", 30_000), ("events", 300_000), ("days", 20), ("seed", 1), ("jobs", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--no-text", dest="text", action="store_false")
    parser.add_argument("--horizons", nargs="+", default=["24h", "1h"])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="notif-rec-news-"))
    folder.mkdir(parents=True, exist_ok=True)
    end = make(folder, given)
    config = folder / "notif_rec.yml"
    config.write_text(json.dumps({"version": 1, "events": {"read": 1}, "channels": {"push": {"consent": "yes"}}}) + "\n")
    for kind in ("items", "events"):
        run(given, config, "ingest", kind, str(folder / f"{kind}.csv"))
    for horizon in given.horizons:
        found = run(given, config, "evaluate", "--as-of", f"{end.isoformat()}Z", "--horizon", horizon)
        table(f"news, the last {horizon}", found)
    if given.folder is None:
        shutil.rmtree(folder)


def run(given: argparse.Namespace, config: Path, *words: str) -> dict[str, Any]:
    """What a command answers; tells what it cost."""
    command = [sys.executable, "-m", "notif_rec.cli.main", "-c", str(config), "--json", "--quiet", "--jobs", str(given.jobs)]
    _, core, peak, output = measure([*command, *words])
    print(f"{' '.join(words[:2])}: {core:.0f} core-s, {peak:.0f} MiB", flush=True)
    found: dict[str, Any] = json.loads(output)
    return found


def table(title: str, found: dict[str, Any]) -> None:
    """A row a model, over everything."""
    counts, models, leads = (found[key]["all"] for key in ("counts", "channels", "differences"))
    print(f"\n**{title}** ({counts['users']} readers, {counts['targets']} reads, {counts['unreachable']} of what was not out yet)\n")
    print("| model | Recall@20 | NDCG@20 | coverage | blend leads NDCG@20 by (95 %) |\n|---|--:|--:|--:|---|")
    for name, value in models.items():
        lead = leads.get(name, {}).get("ndcg@20")
        told = f"{lead['mean']:+.4f} [{lead['low']:+.4f}, {lead['high']:+.4f}]" if lead else ""
        print(f"| {name} | {value['recall@20']:.4f} | {value['ndcg@20']:.4f} | {value['coverage']:.3f} | {told} |", flush=True)
    for part, told in found["segments"]["all"].items():
        if part in ("cold_items", "warm_items", "cold_users", "warm_users"):
            print(f"{part}: " + ", ".join(f"{name} {value['ndcg@20']:.4f}" for name, value in told.items()), flush=True)


if __name__ == "__main__":
    main()
