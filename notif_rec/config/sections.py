"""The parts of a config, each a frozen model with its defaults."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from notif_rec.errors import NotifRecError, did_you_mean
from notif_rec.models.settings import ModelSettings
from notif_rec.planning.audience import parse_audience
from notif_rec.policy.local_time import known_zone, zone_names
from notif_rec.strict_yaml import Duration, Percent, StrictModel, show

LIST_COLUMNS = (
    "send_key", "rank", "user_id", "position", "item_id", "send_at", "score", "p_open", "p_click", "p_unsubscribe", "value", "propensity",
    "reason",
)  # fmt: skip
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


class Exploration(StrictModel):
    """Which share of users × channels is left to chance, and how it chooses; a plain number is the share."""

    share: Share = Field(description="of (user, channel) pairs, one channel of a user at most, that get a feasible send or none by chance")
    temperature: float | None = Field(
        default=None, gt=0, description="in the unit of value: offers that differ by it are e times as likely; left out: all alike"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict | cls) else {"share": value}

    @model_serializer(mode="wrap")
    def _as_written(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any] | float:
        return self.share if self.temperature is None else standard(self)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, handler(core)]}


class EngagementSettings(StrictModel):
    """How the probabilities of answers are fitted."""

    model: Literal["trees", "logistic", "rates"] = Field(default="trees", description="the most that is tried; thin channels get less")
    unsubscribe_window: SomeTime = Field(
        default=timedelta(days=28), description="an unsubscribe or complaint belongs to a send within this: people leave late"
    )
    history: SomeTime = Field(default=timedelta(days=730), description="how far back sends are learned from")


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


class EngineSettings(StrictModel):
    """Where train, plan, evaluate, tune and ingest do their work; it changes no byte of what comes out."""

    name: Literal["local", "spark"] = "local"
    master: str = Field(default="local[*]", min_length=1, description="Spark's master, e.g. spark://host:7077; local[*] is this machine")
    settings: dict[str, str] = Field(default={}, description="Spark's own settings, e.g. {spark.executor.memory: 8g}")

    @field_validator("master")
    @classmethod
    def _of_a_cluster(cls, master: str) -> str:
        if master.startswith("sc://"):
            raise ValueError("Spark Connect (sc://) runs no tasks of ours; name the cluster's own master, e.g. spark://host:7077")
        return master

    @field_validator("settings")
    @classmethod
    def _of_spark(cls, settings: dict[str, str]) -> dict[str, str]:
        for name in settings:
            if not name.startswith("spark."):
                raise ValueError(f"{show(name)} is no setting of Spark; their names begin with 'spark.'")
        return settings


class WeeklyBudget(StrictModel):
    """How many marketing sends a channel may make in seven days to all users, and what one user may get of them."""

    budget: Whole = Field(description="most sends of all users in the seven days that end with a plan's horizon")
    at_least: int = Field(default=0, ge=0, le=100, description="sends a week that no user who can be reached is left below")
    at_most: int | None = Field(default=None, ge=0, le=100, description="sends a week that no user gets beyond; left out: what rules allow")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is above at_most {self.at_most}: no user can have both")
        return self


class ChannelSettings(StrictModel):
    """One way to reach users."""

    items_per_send: int = Field(default=1, ge=1, le=64, description="most items in one send")
    max_sends: int = Field(default=1, ge=0, le=1_000_000, description="most sends per user with send_at inside the horizon")
    cost: float = Field(default=0.0, ge=0, le=1000, description="money that a send costs, for quotas with max_cost")
    consent: Consent = Field(description="the state of users whose own column is empty or missing")
    exclude_seen: bool = Field(default=True, description="false where people want the same thing again")
    weekly: WeeklyBudget | None = Field(default=None, description="a budget of sends a week, shared out by what they bring; left out: none")
    model: ModelSettings = Field(default=ModelSettings(), description="keys of `model:` that differ for this channel")

    @field_serializer("model")
    def _differences(self, model: ModelSettings) -> dict[str, Any]:
        return model.model_dump(mode="json", exclude_unset=True)

    @model_serializer(mode="wrap")
    def _without_budget(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in standard(self).items() if key != "weekly" or value is not None}


class Quota(StrictModel):
    """A limit across users on sends with send_at inside the horizon: on all that match every word it says."""

    channel: str | None = None
    item: str | None = Field(default=None, min_length=1, description="an item_id, or any: each item for itself")
    category: str | None = Field(default=None, min_length=1)
    segment: str | None = Field(default=None, min_length=1, description="users whose attributes match: country=DE|AT;tier=gold")
    max_sends: Whole | None = None
    min_sends: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = Field(
        default=None, description="a plan that cannot reach it is refused"
    )
    max_cost: Annotated[float, Field(ge=0, le=1e12)] | None = Field(default=None, description="money, where channels state their cost")

    @field_validator("segment")
    @classmethod
    def _readable(cls, text: str | None) -> str | None:
        try:
            if text is not None and not parse_audience(text):
                raise ValueError(f"{show(text)} matches everybody; write attribute=value, or leave it out")
        except NotifRecError as error:
            raise ValueError(error.problem) from None
        return text

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.max_sends is None and self.min_sends is None and self.max_cost is None:
            raise ValueError("a quota limits nothing; give it max_sends, min_sends or max_cost")
        if self.max_cost is not None and not self.max_sends is self.min_sends is None:
            raise ValueError("max_cost stands alone; write the limit on sends as a quota of its own")
        if self.item is not None and self.category is not None:
            raise ValueError("an item has its category; a quota is for one of item and category")
        if self.item == "any" and self.min_sends is not None:
            raise ValueError("min_sends is for one item; no plan sends every item there is")
        if self.max_sends is not None and self.min_sends is not None and self.min_sends > self.max_sends:
            raise ValueError(f"min_sends {self.min_sends} is above max_sends {self.max_sends}: no plan can keep both")
        return self

    @model_serializer(mode="wrap")
    def _without_empty(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in standard(self).items() if value is not None}

    @property
    def scope(self) -> tuple[str | None, ...]:
        """Which sends it is for."""
        return (self.channel, self.item, self.category, self.segment)


CHANNELS = {
    "push": ChannelSettings(items_per_send=1, max_sends=2, consent="yes"),
    "email": ChannelSettings(items_per_send=6, max_sends=1, consent="yes"),
    "in_app": ChannelSettings(items_per_send=3, max_sends=2, consent="yes"),
}
