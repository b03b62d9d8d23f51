"""The config: what is refused, in which words, and what it resolves to."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.config import Config, load_config, load_policy, parse_config
from notif_rec.errors import ConfigError
from notif_rec.strict_yaml import write_yaml

DEFAULT = (Path(__file__).parents[1] / "configs" / "default.yml").read_text()
PUSH = "channels: {push: {consent: yes}}\n"

# (text, every line of the problem)
BROKEN = {
    "unknown key": ("holdut: 0.1\n", ["c.yml:1: holdut: unknown key 'holdut'; did you mean 'holdout'?"]),
    "unknown key, nothing near": ("zzz: 1\n", ["c.yml:1: zzz: unknown key 'zzz'"]),
    "unknown key below": ("guards: {max_chnge: 50%}\n", ["c.yml:1: guards.max_chnge: unknown key 'max_chnge'; did you mean 'max_change'?"]),
    "unknown key of the model": ("model: {facters: 3}\n", ["c.yml:1: model.facters: unknown key 'facters'; did you mean 'factors'?"]),
    "unknown key of a channel's model": (
        "channels:\n  push:\n    consent: yes\n    model: {similar: {neighbors: 3}}\n",
        ["c.yml:4: channels.push.model.similar.neighbors: unknown key 'neighbors'; did you mean 'neighbours'?"],
    ),
    "unknown key of a rule": (
        "rules:\n  - {rule: min_gap, gap: 4h,\n     chanels: [push]}\n",
        ["c.yml:3: rules.0.chanels: unknown key 'chanels'; did you mean 'channels'?"],
    ),
    "doubled key": ("seed: 1\nlead: 0m\nseed: 2\n", ["c.yml:3: 'seed' stands twice (first on line 1); keep one of them"]),
    "doubled channel": (
        "channels:\n  push: {consent: yes}\n  email: {consent: yes}\n  push: {consent: no}\n",
        ["c.yml:4: channels: 'push' stands twice (first on line 2); keep one of them"],
    ),
    "unknown rule": (
        "rules:\n  - {rule: frequency_caps}\n",
        ["c.yml:2: rules.0: unknown rule 'frequency_caps'; did you mean 'frequency_cap'?"],
    ),
    "no engine of that name": (
        "engine: {name: sparc}\n",
        ["c.yml:1: engine.name: 'sparc' is not one of local, spark; did you mean 'spark'?"],
    ),
    "Spark Connect": (
        "engine: {name: spark, master: 'sc://host'}\n",
        ["c.yml:1: engine.master: Spark Connect (sc://) runs no tasks of ours; name the cluster's own master, e.g. spark://host:7077"],
    ),
    "a setting that is not Spark's": (
        "engine: {settings: {executor.memory: 8g}}\n",
        ["c.yml:1: engine.settings: 'executor.memory' is no setting of Spark; their names begin with 'spark.'"],
    ),
    "rule without a name": ("rules:\n  - {max: 2, per: 1d}\n", ["c.yml:2: rules.0: the key 'rule' is missing"]),
    "rule that is a word": ("rules: [min_gap]\n", ["c.yml:1: rules.0: 'min_gap' is not a mapping of keys"]),
    "rules that are a mapping": ("rules: {rule: min_gap, gap: 1h}\n", ["c.yml:1: rules: a mapping is not a list; write [a, b]"]),
    "rules that are nothing": ("rules:\n", ["c.yml:1: rules: nothing stands here; give a value or leave the key out"]),
    "rule without a key": ("rules:\n  - rule: frequency_cap\n    max: 2\n", ["c.yml:2: rules.0: the key 'per' is missing"]),
    "unknown channel in a rule": (
        "rules:\n  - rule: min_gap\n    gap: 1h\n    channels: [email, psuh]\n",
        ["c.yml:4: rules.0.channels.1: unknown channel 'psuh'; did you mean 'push'?"],
    ),
    "unknown channel in a quota": (
        "quotas:\n  - {channel: mail, max_sends: 5}\n",
        ["c.yml:2: quotas.0.channel: unknown channel 'mail'; did you mean 'email'?"],
    ),
    "no channels in a rule": (
        "rules: [{rule: min_gap, gap: 1h, channels: []}]\n",
        ["c.yml:1: rules.0.channels: an empty list names no channel; leave the key out to mean all"],
    ),
    "channels as a word": (
        "rules: [{rule: min_gap, gap: 1h, channels: push}]\n",
        ["c.yml:1: rules.0.channels: 'push' is not a list; write [a, b]"],
    ),
    "channel twice in a rule": (
        "rules: [{rule: min_gap, gap: 1h, channels: [push, push]}]\n",
        ["c.yml:1: rules.0.channels: 'push' stands twice"],
    ),
    "a class that is none": (
        "rules: [{rule: min_gap, gap: 1h, exempt: [transaction]}]\n",
        ["c.yml:1: rules.0.exempt.0: 'transaction' is not one of marketing, transactional; did you mean 'transactional'?"],
    ),
    "count_exempt without exempt": (
        "rules: [{rule: min_gap, gap: 1h, count_exempt: false}]\n",
        ["c.yml:1: rules.0: count_exempt: false says nothing without exempt: [...]"],
    ),
    "consent with exceptions": (
        "rules: [{rule: opt_in, exempt: [transactional]}]\n",
        ["c.yml:1: rules.0: consent always binds: opt_in takes no exempt classes"],
    ),
    "consent that allows no": ("rules: [{rule: opt_in, allow: [no]}]\n", ["c.yml:1: rules.0.allow.0: 'no' is not one of yes, provisional"]),
    "unquoted time": (
        'rules:\n  - {rule: quiet_hours, from: 21:00, to: "08:00"}\n',
        ['c.yml:2: rules.0.from: the time of day 21:00 is not quoted; write "21:00"'],
    ),
    "time that is none": (
        'rules:\n  - {rule: quiet_hours, from: "9:00", to: "24:00"}\n',
        [
            'c.yml:2: rules.0.from: \'9:00\' is not a time of day; write it quoted, from "00:00" to "23:59"',
            'c.yml:2: rules.0.to: \'24:00\' is not a time of day; write it quoted, from "00:00" to "23:59"',
        ],
    ),
    "quiet hours of no length": (
        'rules: [{rule: quiet_hours, from: "08:00", to: "08:00"}]\n',
        ["c.yml:1: rules.0: from and to are the same time; leave the rule out, or say when it ends"],
    ),
    "duration without a unit": ("horizon: 24\n", ["c.yml:1: horizon: 24 is not a duration; write 30m, 12h, 7d or 2w"]),
    "duration in words": ("horizon: 1 day\n", ["c.yml:1: horizon: '1 day' is not a duration; write 30m, 12h, 7d or 2w"]),
    "duration with a fraction": ("lead: 1.5h\n", ["c.yml:1: lead: '1.5h' is not a duration; write 30m, 12h, 7d or 2w"]),
    "exploration above one": ("exploration: 1.5\n", ["c.yml:1: exploration: 1.5 is not at most 1"]),
    "exploration in words": ("exploration: yes\n", ["c.yml:1: exploration: 'yes' is not a number"]),
    "exploration without heat": ("exploration: {share: 0.1, temperature: 0}\n", ["c.yml:1: exploration.temperature: 0 is not more than 0"]),
    "exploration with a slip": (
        "exploration: {shares: 0.1}\n",
        [
            "c.yml:1: exploration.shares: unknown key 'shares'; did you mean 'share'?",
            "c.yml:1: exploration: the key 'share' is missing",
        ],
    ),
    "horizon of nothing": ("horizon: 0m\n", ["c.yml:1: horizon: 0 is no length of time here; write at least 1m"]),
    "horizon of months": ("horizon: 40d\n", ["c.yml:1: horizon: '40d' is not at most 31 days"]),
    "lead beyond the horizon": ("lead: 24h\n", ["c.yml:1: lead: lead is 24h, not shorter than the horizon of 24h: no moment is left"]),
    "cap in no known period": (
        "rules: [{rule: frequency_cap, max: 1, per: calender_day}]\n",
        [
            "c.yml:1: rules.0.per: 'calender_day' is neither a duration such as 1d nor one of calendar_day, calendar_week, "
            "calendar_month; did you mean 'calendar_day'?"
        ],
    ),
    "cap in a window of nothing": (
        "rules: [{rule: frequency_cap, max: 0, per: 0m}]\n",
        ["c.yml:1: rules.0.per: a window of no length limits nothing; write max: 0 to forbid, or leave the rule out"],
    ),
    "cap below zero": ("rules: [{rule: frequency_cap, max: -1, per: 1d}]\n", ["c.yml:1: rules.0.max: -1 is not at least 0"]),
    "cap as a text": ('rules: [{rule: frequency_cap, max: "2", per: 1d}]\n', ["c.yml:1: rules.0.max: '2' is not a whole number"]),
    "cap as a fraction": ("rules: [{rule: frequency_cap, max: 2.0, per: 1d}]\n", ["c.yml:1: rules.0.max: 2.0 is not a whole number"]),
    "cap as a truth": ("rules: [{rule: frequency_cap, max: true, per: 1d}]\n", ["c.yml:1: rules.0.max: true is not a whole number"]),
    "half-life of nothing": (
        "rules: [{rule: fatigue, half_life: 0d, strength: 0.5}]\n",
        ["c.yml:1: rules.0.half_life: a half-life of no length never fades and never counts; leave the rule out"],
    ),
    "strength above 1": ("rules: [{rule: fatigue, half_life: 1d, strength: 1.5}]\n", ["c.yml:1: rules.0.strength: 1.5 is not at most 1"]),
    "wait above its maximum": ("rules: [{rule: back_off, wait: 60d}]\n", ["c.yml:1: rules.0: max_wait is shorter than wait"]),
    "back_off that shrinks": ("rules: [{rule: back_off, factor: 0.5}]\n", ["c.yml:1: rules.0.factor: 0.5 is not at least 1"]),
    "channel without consent": (
        "channels:\n  push: {}\n  sms: {max_sends: 1}\n",
        ["c.yml:2: channels.push: the key 'consent' is missing", "c.yml:3: channels.sms: the key 'consent' is missing"],
    ),
    "consent as a truth": (
        "channels: {push: {consent: true}}\n",
        ["c.yml:1: channels.push.consent: true is not one of yes, no, provisional"],
    ),
    "consent in capitals": (
        "channels: {push: {consent: Yes}}\n",
        ["c.yml:1: channels.push.consent: 'Yes' is not one of yes, no, provisional; did you mean 'yes'?"],
    ),
    "truth as a word": (
        "channels: {push: {consent: yes, exclude_seen: yes}}\n",
        ["c.yml:1: channels.push.exclude_seen: 'yes' is not true or false"],
    ),
    "no channels at all": ("channels: {}\n", ["c.yml:1: channels: too few entries: at least 1"]),
    "channel name in capitals": (
        "channels: {Push: {consent: yes}}\n",
        ["c.yml:1: channels.Push: 'Push' is not a channel name: a-z first, then a-z 0-9 _, at most 32"],
    ),
    "channel called as a column": (
        "channels: {timezone: {consent: yes}}\n",
        ["c.yml:1: channels.timezone: 'timezone' is taken, by a column of the users file or a word of ours; choose another name"],
    ),
    "channel called as a date": (
        "channels:\n  push: {consent: yes}\n  push_at: {consent: yes}\n",
        ["c.yml:3: channels.push_at: 'push_at' is the column that dates the consent of 'push'; choose another name"],
    ),
    "digest larger than its candidates": (
        "candidates: 5\nchannels:\n  email: {consent: yes, items_per_send: 6}\n",
        ["c.yml:3: channels.email.items_per_send: 6 items in a send, but candidates: 5 retrieves fewer"],
    ),
    "outcome as a sign of taste": (
        "events: {view: 1, sent: 1}\n",
        ["c.yml:1: events.sent: 'sent' is an outcome with a meaning of its own; only opened and clicked may be signs of taste"],
    ),
    "weight below zero": ("events: {view: -1}\n", ["c.yml:1: events.view: -1 is not at least 0"]),
    "weight without end": ("events: {view: 1e999}\n", ["c.yml:1: events.view: inf is not a finite number"]),
    "weight that is no number": ("events: {view: .inf}\n", ["c.yml:1: events.view: '.inf' is not a number"]),
    "event of spaces": (
        'events: {" view": 1}\n',
        ["c.yml:1: events. view: ' view' is not a name: 1 to 64 printable characters, no space around"],
    ),
    "worth of an unknown outcome": ("value: {click: 1}\n", ["c.yml:1: value.click: unknown key 'click'; did you mean 'clicked'?"]),
    "quota of nothing": (
        "quotas: [{channel: push}]\n",
        ["c.yml:1: quotas.0: a quota limits nothing; give it max_sends, min_sends or max_cost"],
    ),
    "quota of two things": (
        "quotas: [{item: any, category: x, max_sends: 3}]\n",
        ["c.yml:1: quotas.0: an item has its category; a quota is for one of item and category"],
    ),
    "quota of a segment of everybody": (
        "quotas: [{segment: ';', max_sends: 3}]\n",
        ["c.yml:1: quotas.0.segment: ';' matches everybody; write attribute=value, or leave it out"],
    ),
    "quota of an unreadable segment": (
        "quotas: [{segment: country, max_sends: 3}]\n",
        ["c.yml:1: quotas.0.segment: audience 'country': 'country' is not attribute=value|value"],
    ),
    "quota below nothing": ("quotas: [{max_sends: -1}]\n", ["c.yml:1: quotas.0.max_sends: -1 is not at least 0"]),
    "quota with a minimum of nothing": ("quotas: [{channel: push, min_sends: 0}]\n", ["c.yml:1: quotas.0.min_sends: 0 is not at least 1"]),
    "quota with a minimum for each item": (
        "quotas: [{item: any, min_sends: 5}]\n",
        ["c.yml:1: quotas.0: min_sends is for one item; no plan sends every item there is"],
    ),
    "quota that contradicts itself": (
        "quotas: [{channel: push, min_sends: 5, max_sends: 3}]\n",
        ["c.yml:1: quotas.0: min_sends 5 is above max_sends 3: no plan can keep both"],
    ),
    "quotas that contradict each other": (
        "quotas:\n  - {channel: push, max_sends: 3}\n  - {channel: push, segment: a=b, min_sends: 5}\n",
        ["c.yml:3: quotas.1.min_sends: min_sends 5, but quotas.0 allows 3 for channel 'push': no plan can keep both"],
    ),
    "budget without a cost": (
        "quotas: [{channel: push, max_cost: 5}]\n",
        ["c.yml:1: quotas.0.max_cost: a budget of money, but no cost stands at channels.push; give channels their cost"],
    ),
    "budget and number in one": (
        "quotas: [{channel: push, max_cost: 5, max_sends: 1}]\n",
        [
            "c.yml:1: quotas.0.max_cost: a budget of money, but no cost stands at channels.push; give channels their cost",
            "c.yml:1: quotas.0: max_cost stands alone; write the limit on sends as a quota of its own",
        ],
    ),
    "quota twice": (
        "quotas:\n  - {item: any, max_sends: 3}\n  - {item: any, max_sends: 4}\n",
        ["c.yml:3: quotas.1: a second quota for item 'any'; keep one of them"],
    ),
    "item id as a number": ("quotas: [{item: 7, max_sends: 3}]\n", ['c.yml:1: quotas.0.item: 7 is not a text; write "7"']),
    "holdout in percent": ("holdout: 5%\n", ["c.yml:1: holdout: '5%' is not a number"]),
    "holdout above all": ("holdout: 5\n", ["c.yml:1: holdout: 5 is not at most 1"]),
    "guard as a number": ("guards: {max_change: 0.5}\n", ["c.yml:1: guards.max_change: 0.5 is not a percentage; write 50% or 2.5%"]),
    "unknown zone": ("timezone: Europe/Berlim\n", ["c.yml:1: timezone: unknown time zone 'Europe/Berlim'; did you mean 'Europe/Berlin'?"]),
    "bias of implicit": (
        "model: {bias: true}\n",
        ["c.yml:1: model.bias: solver: implicit knows no bias; write solver: diagonal beside it, or bias: false"],
    ),
    "a channel's own solver without the bias of all": (
        "model: {bias: true, solver: diagonal}\nchannels: {push: {consent: yes, model: {solver: implicit}}}\n",
        ["c.yml:2: channels.push.model.solver: solver: implicit knows no bias; write solver: diagonal beside it, or bias: false"],
    ),
    "version of tomorrow": ("version: 2\n", ["c.yml:1: version: 2 is not one of 1"]),
    "offers without end": ("max_offers: 65\n", ["c.yml:1: max_offers: 65 is not at most 64"]),
    "fixed column again": (
        "output: {item_columns: [title, score]}\n",
        ["c.yml:1: output.item_columns: 'score' is a fixed column of the lists already"],
    ),
    "source as a word": ("sources: {events: a.csv}\n", ["c.yml:1: sources.events: 'a.csv' is not a list; write [a, b]"]),
    "a list": ("- version: 1\n", ["c.yml:1: a config is a mapping of keys"]),
    "a word": ("hello\n", ["c.yml:1: a config is a mapping of keys"]),
    "an alias": ("value: &a {opened: 1}\nguards: *a\n", ["c.yml:2: aliases are not allowed"]),
    "a tag": ("seed: !!python/object:os.system 1\n", ["c.yml:1: the tag tag:yaml.org,2002:python/object:os.system is not allowed"]),
    "a tab": ("value:\n\topened: 1\n", ["c.yml:2: found character '\\t' that cannot start any token"]),
    "a bracket left open": ("rules: [{rule: min_gap\n", ["c.yml:2: expected ',' or '}', but got '<stream end>'"]),
    "two documents": ("seed: 1\n---\nseed: 2\n", ["c.yml:2: but found another document"]),
    "a list as a key": ("? [a]\n: 1\n", ["c.yml:1: a key must be a plain word"]),
    "NUL": ("seed: 1\nlead: \0\n", ["c.yml:2: the character U+0000 does not belong in a text"]),
    "nested without end": ("[" * 500, ["c.yml:1: nested deeper than 20 levels"]),
    "as large as a data file": ("#" * (1 << 20) + "#", ["c.yml: larger than 1 MB"]),
    "a negative week": (
        "channels: {push: {consent: yes, weekly: {budget: -1}}}\n",
        ["c.yml:1: channels.push.weekly.budget: -1 is not at least 0"],
    ),
    "a week without budget": (
        "channels: {push: {consent: yes, weekly: {at_most: 3}}}\n",
        ["c.yml:1: channels.push.weekly: the key 'budget' is missing"],
    ),
    "owed more than allowed": (
        "channels: {push: {consent: yes, weekly: {budget: 9, at_least: 3, at_most: 2}}}\n",
        ["c.yml:1: channels.push.weekly: at_least 3 is above at_most 2: no user can have both"],
    ),
    "a week in plans of two": (
        "horizon: 2w\nchannels: {push: {consent: yes, weekly: {budget: 9}}}\n",
        ["c.yml:2: channels.push.weekly: a budget a week, but plans of 2w; a horizon of 7d at most can keep it"],
    ),
    "an endless number": ("seed: " + "9" * 5000, ["c.yml:1: seed: '" + "9" * 56 + "... is not a whole number"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_configs_are_answered_with_line_place_and_value(name: str) -> None:
    text, problem = BROKEN[name]
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yml")
    assert caught.value.problem.split("\n") == problem
    assert caught.value.fix
    assert caught.value.exit_code == 78


def test_every_problem_is_told_at_once_by_line() -> None:
    text = f"seed: x\n{PUSH}rules:\n  - {{rule: min_gp}}\n  - {{rule: min_gap, gap: 1, channels: [email]}}\nhorizon: 1d\nhorizon: 2d\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yml")
    assert caught.value.problem.split("\n") == [
        "c.yml:1: seed: 'x' is not a whole number",
        "c.yml:4: rules.0: unknown rule 'min_gp'; did you mean 'min_gap'?",
        "c.yml:5: rules.1.channels.0: unknown channel 'email'",
        "c.yml:5: rules.1.gap: 1 is not a duration; write 30m, 12h, 7d or 2w",
        "c.yml:7: 'horizon' stands twice (first on line 6); keep one of them",
    ]


def test_no_more_than_twenty_problems() -> None:
    text = "rules:\n" + "  - {rule: nothing}\n" * 30
    with pytest.raises(ConfigError, match="and 10 more") as caught:
        parse_config(text, "c.yml")
    assert caught.value.problem.count("\n") == 20


def test_a_missing_file_and_an_unreadable_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml: no such config file"):
        load_config(tmp_path / "none.yml")
    path = tmp_path / "latin.yml"
    path.write_bytes(b"holdout_salt: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yml:1: not text in UTF-8"):
        load_config(path)
    with pytest.raises(ConfigError, match="not readable"):
        load_config(tmp_path)


def test_an_error_in_a_policy_file_names_that_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text("rules:\n  - {rule: min_gap, gap: 1d, channels: [sms]}\n")
    with pytest.raises(ConfigError, match=r"policy\.yml:2: rules\.0\.channels\.0: unknown channel 'sms'"):
        load_policy(path, Config())
    path.write_text("channels: {sms: {consent: yes}}\n")
    with pytest.raises(ConfigError, match=r"policy\.yml:1: rules\.0\.channels\.0: unknown channel 'push'"):
        load_policy(path, parse_config("rules: [{rule: min_gap, gap: 1d, channels: [push]}]", "c.yml"))


def test_an_empty_config_is_all_defaults() -> None:
    config = parse_config("", "c.yml")
    assert config == Config()
    assert config.channel_names == ("push", "email", "in_app")
    assert config.rules == ()
    assert config.events == {"clicked": 4.0, "opened": 1.0}
    assert [r.describe() for r in config.binding_rules] == ["opt_in {channels: [push, email, in_app], allow: [yes]}"]


def test_words_stay_words_and_numbers_numbers() -> None:
    config = parse_config("channels: {on: {consent: no}, off: {consent: provisional}}\nquotas: [{item: 007, max_sends: 0}]\n", "c.yml")
    assert config.channel_names == ("on", "off")
    assert config.channels["on"].consent == "no"
    assert (config.quotas[0].item, config.quotas[0].max_sends) == ("007", 0)


def test_zero_is_zero_and_not_a_default() -> None:
    text = "holdout: 0\nlead: 0m\nevents: {opened: 0}\nvalue: {opened: 0}\nchannels: {push: {consent: yes, max_sends: 0}}\n"
    config = parse_config(text, "c.yml")
    assert (config.holdout, config.lead, config.value.opened, config.channels["push"].max_sends) == (0.0, timedelta(0), 0.0, 0)
    assert config.events == {"opened": 0.0, "clicked": 4.0}


def test_unknown_timezone_block_binds_as_a_rule() -> None:
    config = parse_config("unknown_timezone: block\nrules: [{rule: opt_in, allow: [provisional], channels: [push]}]", "c.yml")
    assert [r.describe() for r in config.binding_rules] == [
        "opt_in {channels: [push], allow: [provisional]}",
        "opt_in {channels: [email, in_app], allow: [yes]}",
        "known_timezone",
    ]


def test_hash_changes_with_values_and_not_with_comments_or_spelling() -> None:
    base = parse_config(DEFAULT, "c.yml")
    assert parse_config(f"# a remark\n{DEFAULT}".replace("horizon: 24h", "horizon: 1d"), "other.yml").hash == base.hash
    assert parse_config(DEFAULT.replace("horizon: 24h", "horizon: 25h"), "c.yml").hash != base.hash
    assert parse_config(DEFAULT.replace("max: 6", "max: 5"), "c.yml").hash != base.hash
    assert parse_config(DEFAULT.replace("seed: 1", "seed: 2"), "c.yml").hash != base.hash
    assert set(base.to_json()) == set(Config.model_fields)
    assert len(base.hash) == 64


def test_the_engine_decides_nothing() -> None:
    spark = parse_config("engine: {name: spark, master: 'local[2]', settings: {spark.executor.memory: 8g}}\n", "c.yml")
    assert spark.hash == Config().hash and "engine" not in spark.decisive()
    assert spark.to_json()["engine"] == {"name": "spark", "master": "local[2]", "settings": {"spark.executor.memory": "8g"}}


def test_a_shown_config_reads_back_the_same() -> None:
    config = parse_config(DEFAULT, "c.yml")
    assert parse_config(write_yaml(config.to_json()), "shown.yml") == config
    again = Config.model_validate_json(json.dumps(config.to_json()))
    assert again == config
    assert again.hash == config.hash


@pytest.mark.parametrize(
    ("text", "share", "temperature"),
    [("0.05", 0.05, None), ("{share: 0.1}", 0.1, None), ("{share: 0.1, temperature: 0.02}", 0.1, 0.02), ("0", 0.0, None)],
)
def test_exploration_is_a_share_or_a_share_and_a_temperature(text: str, share: float, temperature: float | None) -> None:
    config = parse_config(f"exploration: {text}\n", "c.yml")
    assert (config.exploration.share, config.exploration.temperature) == (share, temperature)
    assert config.to_json()["exploration"] == (share if temperature is None else {"share": share, "temperature": temperature})
    assert parse_config(write_yaml(config.to_json()), "shown.yml") == config


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
names = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True).filter(lambda n: not n.endswith("_at") and n not in ("all", "any", "channel"))


@settings(max_examples=150, deadline=None)
@given(
    events=st.dictionaries(words.filter(lambda w: w and w == w.strip() and w.isprintable()), st.floats(0, 1e300), max_size=4),
    channels=st.lists(names, min_size=1, max_size=4, unique=True),
    items=st.lists(words.filter(bool), max_size=4, unique=True),
    change=st.integers(0, 99_999),
    minutes=st.integers(1, 44_000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_any_sound_config_survives_show(
    events: dict[str, float], channels: list[str], items: list[str], change: int, minutes: int, shares: tuple[float, float]
) -> None:
    value = {
        "events": events,
        "channels": {name: {"consent": "yes"} for name in channels},
        "quotas": [{"item": item, "max_sends": i} for i, item in enumerate(items)],
        "guards": {"max_change": f"{change / 100:.2f}%"},
        "horizon": f"{minutes}m",
        "holdout": shares[0],
        "exploration": shares[1],
    }
    try:
        config = parse_config(write_yaml(value), "c.yml")
    except ConfigError as error:
        assert "does not belong in a text" in error.problem or "is an outcome" in error.problem, error
        return
    assert config.channel_names == tuple(channels)
    assert [q.item for q in config.quotas] == items
    assert parse_config(write_yaml(config.to_json()), "shown.yml") == config


LINES = [line for line in DEFAULT.split("\n") if line.strip() and not line.startswith("#")]
PIECES = [
    "yes",
    "null",
    "21:00",
    "-1",
    "1e9",
    "{}",
    "[]",
    "]",
    "}",
    ":",
    "- ",
    "  ",
    "\t",
    "!!int",
    "&a",
    "*a",
    "<<",
    "'",
    '"',
    "|",
    ">",
    "%",
    "@",
    "?",
    "\r",
    "é",
    "0x1",
    "\ufeff",
]


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from([*LINES, *PIECES]), max_size=12).map("\n".join)))
def test_any_text_is_a_config_or_a_config_error(text: str) -> None:
    try:
        parse_config(text, "c.yml")
    except ConfigError as error:
        assert error.problem.startswith("c.yml")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(DEFAULT)), st.integers(0, 12), st.sampled_from([*PIECES, "", "x", "\n"]))
def test_the_manual_with_a_piece_replaced_is_a_config_or_a_config_error(at: int, length: int, piece: str) -> None:
    try:
        parse_config(DEFAULT[:at] + piece + DEFAULT[at + length :], "c.yml")
    except ConfigError as error:
        assert error.problem.startswith("c.yml")
