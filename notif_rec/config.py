"""The config: strict YAML → one frozen object that goes down into every stage."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from notif_rec.errors import did_you_mean
from notif_rec.models.settings import ModelSettings
from notif_rec.policy.load import AnyRule, binding_rules
from notif_rec.policy.local_time import known_zone, zone_names
from notif_rec.policy.rule import Rule
from notif_rec.strict_yaml import (
    Document,
    Duration,
    Percent,
    Problem,
    StrictModel,
    check_model,
    parse_duration,
    read_text,
    read_yaml,
    refuse,
    show,
)
from notif_rec.tables import OUTCOMES

RESERVED = frozenset(("user_id", "timezone", "created_at", "created", "channel", "all", "any"))
LIST_COLUMNS = (
    "send_key", "rank", "user_id", "position", "item_id", "send_at", "score", "p_open", "p_click", "p_unsubscribe", "value", "propensity",
    "reason",
)  # fmt: skip
TASTE = {"clicked": 4.0, "opened": 1.0}  # the outcomes that may be signs of taste, and their weight unless the config says another
Consent = Literal["yes", "no", "provisional"]
Whole = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]


def _zone(name: str) -> str:
    if not known_zone(name):
        raise ValueError(f"unknown time zone {show(name)}{did_you_mean(name, zone_names())}")
    return name


def _some_time(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("0 is no length of time here; write at least 1m")
    return value


Zone = Annotated[str, AfterValidator(_zone)]
SomeTime = Annotated[Duration, AfterValidator(_some_time)]


class Value(StrictModel):
    """What an outcome is worth, in any one unit; unsubscribed is usually negative."""

    opened: float = 0.1
    clicked: float = 1.0
    unsubscribed: float = -30.0


class Sources(StrictModel):
    """What `run` ingests: paths, or patterns with `*`, from the config's folder."""

    events: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    suppressions: tuple[str, ...] = ()


class Guards(StrictModel):
    """When `run` stops rather than act on a truncated or missing source."""

    max_change: Percent = Field(
        default=0.5, description="how far the rows of a source may move from the last run's", json_schema_extra={"default": "50%"}
    )
    max_source_age: Duration = Field(default=timedelta(hours=36), description="how old the newest row of the events may be")


class Output(StrictModel):
    """What goes into the lists beside the fixed columns."""

    item_columns: tuple[str, ...] = Field(default=(), description="columns of the items file, passed through")

    @field_validator("item_columns")
    @classmethod
    def _free(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name in LIST_COLUMNS:
                raise ValueError(f"'{name}' is a fixed column of the lists already")
            if names.count(name) > 1:
                raise ValueError(f"'{name}' stands twice")
        return names


class ChannelSettings(StrictModel):
    """One way to reach users."""

    items_per_send: int = Field(default=1, ge=1, le=64, description="most items in one send")
    max_sends: int = Field(default=1, ge=0, le=1_000_000, description="most sends per user with send_at inside the horizon")
    consent: Consent = Field(description="the state of users whose own column is empty or missing")
    exclude_seen: bool = Field(default=True, description="false where people want the same thing again")
    model: ModelSettings = Field(default=ModelSettings(), description="keys of `model:` that differ for this channel")

    @field_serializer("model")
    def _differences(self, model: ModelSettings) -> dict[str, Any]:
        return model.model_dump(mode="json", exclude_unset=True)


class Quota(StrictModel):
    """A limit across users on sends with send_at inside the horizon: of a channel, an item (or `any` one) or a category."""

    channel: str | None = None
    item: str | None = Field(default=None, min_length=1, description="an item_id, or any: each item for itself")
    category: str | None = Field(default=None, min_length=1)
    max_sends: Whole

    @model_validator(mode="after")
    def _of_one_thing(self) -> Self:
        if [self.channel, self.item, self.category].count(None) != 2:
            raise ValueError("a quota is for one of channel, item or category")
        return self

    @model_serializer(mode="wrap")
    def _without_empty(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in standard(self).items() if value is not None}


CHANNELS = {
    "push": ChannelSettings(items_per_send=1, max_sends=2, consent="yes"),
    "email": ChannelSettings(items_per_send=6, max_sends=1, consent="yes"),
    "in_app": ChannelSettings(items_per_send=3, max_sends=2, consent="yes"),
}


class Config(StrictModel):
    """Everything that a run can be told; every default works."""

    version: Literal[1] = 1
    timezone: Zone = Field(default="UTC", description="for users without one")
    unknown_timezone: Literal["default", "block"] = Field(default="default", description="block: nothing to users without a zone")
    horizon: SomeTime = Field(default=timedelta(hours=24), le=timedelta(days=31), description="a plan ends here, counted from as-of")
    lead: Duration = Field(default=timedelta(0), description="a plan begins here, counted from as-of")
    events: dict[str, Annotated[float, Field(ge=0)]] = Field(default=TASTE, validate_default=True, description="signs of taste → weight")
    value: Value = Value()
    sources: Sources = Sources()
    guards: Guards = Guards()
    channels: dict[str, ChannelSettings] = Field(default=CHANNELS, min_length=1, max_length=64)
    rules: tuple[SerializeAsAny[AnyRule], ...] = Field(default=(), max_length=200, description="all must hold; order changes nothing")
    quotas: tuple[Quota, ...] = Field(default=(), max_length=10_000)
    max_offers: int = Field(default=24, ge=1, le=64, description="(channel, contents, moment) considered per user")
    candidates: int = Field(default=50, ge=1, le=1000, description="items retrieved per user and channel")
    holdout: Share = Field(default=0.0, description="share of users who get transactional items alone")
    holdout_salt: str = Field(default="notif-rec", min_length=1, max_length=200, description="another salt, another set of users")
    exploration: Share = Field(default=0.0, description="share of users whose plan is drawn by chance, for measurement")
    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    model: ModelSettings = ModelSettings()
    retrain_after: Duration = Field(default=timedelta(days=1), description="`run` trains when the model is older")
    attribution: SomeTime = Field(default=timedelta(days=7), description="an outcome belongs to a send within this")
    output: Output = Output()

    @field_validator("events")
    @classmethod
    def _with_outcomes(cls, events: dict[str, float]) -> dict[str, float]:
        return events | {name: weight for name, weight in TASTE.items() if name not in events}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for _, message in cross_problems(self.model_dump(mode="json")):
            raise ValueError(message)
        return self

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels in the file's order; codes of channels are places in it."""
        return tuple(self.channels)

    @property
    def binding_rules(self) -> tuple[Rule, ...]:
        """`rules`, and what binds unwritten: `yes` alone permits where no opt_in stands, and unknown_timezone: block."""
        return binding_rules(self.rules, self.channel_names, self.unknown_timezone)

    @property
    def hash(self) -> str:
        """64 hex digits that change with any resolved value, not with comments or spelling."""
        return hashlib.sha256(json.dumps(self.to_json(), separators=(",", ":")).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Every resolved key as plain JSON values, spelled as in the file; `Config.model_validate_json` reads it back."""
        return self.model_dump(mode="json")

    def model_of(self, channel: str) -> ModelSettings:
        """The model settings of a channel: its own keys over `model:`."""
        own = self.channels[channel].model.model_dump(mode="json", exclude_unset=True)
        both = _merged(self.model.model_dump(mode="json"), own)
        return ModelSettings.model_validate_json(json.dumps(both))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid upon `base`, mappings key by key."""
    return {**base, **{k: _merged(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v for k, v in over.items()}}


def load_config(path: Path) -> Config:
    """The config in the file at `path`; ConfigError with file:line for everything that is wrong with it."""
    return parse_config(read_text(path), str(path))


def parse_config(text: str, name: str) -> Config:
    """The config that `text` says; `name` stands before the line in errors."""
    return _checked(read_yaml(text, name), {}, name)


def load_policy(path: Path, base: Config) -> Config:
    """`base` with each top-level key that stands in the file at `path` replaced: another policy, or a tuned fragment."""
    return _checked(read_yaml(read_text(path), str(path)), base.to_json(), str(path))


def _checked(document: Document, base: dict[str, Any], name: str) -> Config:
    problems = list(document.problems)
    if not isinstance(document.value, dict):
        refuse([((), "a config is a mapping of keys")], document.lines, name, "start from configs/default.yml")
    value = {**_tuples(base), **document.value}
    config, found = check_model(Config, value)
    places = {place for place, _ in found}
    problems += [p for p in found if p[0]] + [p for p in cross_problems(value) if p[0] not in places]
    refuse(problems or found, document.lines, name)
    assert config is not None
    return config


def _tuples(value: Any) -> Any:
    """Plain JSON values with tuples for lists, as strict models want them."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def cross_problems(value: Mapping[str, Any]) -> list[Problem]:
    """What is wrong between keys of a config as written; passes over whatever is wrong within one."""
    channels = value.get("channels", CHANNELS)
    names = [str(c) for c in channels] if isinstance(channels, dict) else []
    found = [*_event_problems(value.get("events")), *_span_problems(value)]
    if names:
        found += [*_channel_problems(names, channels, value.get("candidates", 50)), *_use_problems(value, names)]
    return found


def _event_problems(events: object) -> Iterator[Problem]:
    for name in events if isinstance(events, dict) else ():
        if name in OUTCOMES and name not in TASTE:
            yield ("events", name), f"'{name}' is an outcome with a meaning of its own; only opened and clicked may be signs of taste"
        elif not name or name != name.strip() or len(name) > 64 or not name.isprintable():
            yield ("events", name), f"{show(name)} is not a name: 1 to 64 printable characters, no space around"


def _span_problems(value: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        horizon, lead = parse_duration(value.get("horizon", "24h")), parse_duration(value.get("lead", "0m"))
    except ValueError:
        return
    if horizon and lead >= horizon:
        yield ("lead",), f"lead is {value.get('lead')}, not shorter than the horizon of {value.get('horizon', '24h')}: no moment is left"


def _channel_problems(names: list[str], channels: Mapping[str, Any], candidates: object) -> Iterator[Problem]:
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            yield ("channels", name), f"{show(name)} is not a channel name: a-z first, then a-z 0-9 _, at most 32"
        elif name in RESERVED:
            yield ("channels", name), f"'{name}' is taken, by a column of the users file or a word of ours; choose another name"
        elif name.endswith("_at") and name[:-3] in names:
            yield ("channels", name), f"'{name}' is the column that dates the consent of '{name[:-3]}'; choose another name"
        channel = channels[name]
        items = channel.get("items_per_send", 1) if isinstance(channel, dict) else 1
        if isinstance(items, int) and isinstance(candidates, int) and items > candidates:
            yield ("channels", name, "items_per_send"), f"{items} items in a send, but candidates: {candidates} retrieves fewer"


def _use_problems(value: Mapping[str, Any], names: list[str]) -> Iterator[Problem]:
    """Channels that rules and quotas name but the config does not have, and doubled quotas."""
    for i, entry in enumerate(_entries(value.get("rules"))):
        used = entry.get("channels")
        for j, channel in enumerate(used if isinstance(used, tuple | list) else ()):
            if isinstance(channel, str) and channel not in names:
                yield ("rules", i, "channels", j), f"unknown channel '{channel}'{did_you_mean(channel, names)}"
    seen: dict[tuple[str, str], int] = {}
    for i, entry in enumerate(_entries(value.get("quotas"))):
        channel = entry.get("channel")
        if isinstance(channel, str) and channel not in names:
            yield ("quotas", i, "channel"), f"unknown channel '{channel}'{did_you_mean(channel, names)}"
        key = next(((k, str(entry[k])) for k in ("channel", "item", "category") if entry.get(k) is not None), ("", ""))
        if key[0] and seen.setdefault(key, i) != i:
            yield ("quotas", i), f"a second quota for {key[0]} '{key[1]}'; keep one of them"


def _entries(value: object) -> list[Mapping[str, Any]]:
    """The entries of a list that are mappings, others as empty ones, so that places keep their number."""
    return [v if isinstance(v, dict) else {} for v in value] if isinstance(value, tuple | list) else []
