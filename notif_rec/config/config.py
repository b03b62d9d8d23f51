"""The whole config as one frozen object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from notif_rec.config.cross import TASTE, cross_problems
from notif_rec.config.sections import (
    CHANNELS,
    ChannelSettings,
    EngagementSettings,
    EngineSettings,
    Exploration,
    Guards,
    Output,
    Quota,
    Share,
    SomeTime,
    Sources,
    Value,
    Zone,
)
from notif_rec.models.settings import ModelSettings
from notif_rec.policy.load import AnyRule, binding_rules
from notif_rec.policy.rule import Rule
from notif_rec.strict_yaml import Duration, StrictModel


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
    rules: tuple[SerializeAsAny[AnyRule], ...] = Field(default=(), max_length=48, description="all must hold; order changes nothing")
    quotas: tuple[Quota, ...] = Field(default=(), max_length=10_000)
    max_offers: int = Field(default=24, ge=1, le=64, description="(channel, contents, moment) considered per user")
    candidates: int = Field(default=50, ge=1, le=1000, description="items retrieved per user and channel")
    holdout: Share = Field(default=0.0, description="share of users who get transactional items alone")
    holdout_salt: str = Field(default="notif-rec", min_length=1, max_length=200, description="another salt, another set of users")
    objective: Literal["response", "uplift"] = Field(
        default="response", description="what a send is worth: its answers, or what it adds by the holdout's measure"
    )
    exploration: Exploration = Field(default=Exploration(share=0.0), description="what is left to chance, for measurement")
    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    model: ModelSettings = ModelSettings()
    retrain_after: Duration = Field(default=timedelta(days=1), description="`run` trains when the model is older")
    attribution: SomeTime = Field(default=timedelta(days=7), description="an outcome belongs to a send within this")
    engagement: EngagementSettings = EngagementSettings()
    output: Output = Output()
    engine: EngineSettings = EngineSettings()

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
        """64 hex digits that change with any value that decides something, not with comments or spelling."""
        return hashlib.sha256(json.dumps(self.decisive(), separators=(",", ":")).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Every resolved key as plain JSON values, spelled as in the file; `Config.model_validate_json` reads it back."""
        return self.model_dump(mode="json")

    def decisive(self) -> dict[str, Any]:
        """`to_json` without `engine`: where work is done changes no byte of what comes out."""
        return {key: value for key, value in self.to_json().items() if key != "engine"}

    def model_of(self, channel: str) -> ModelSettings:
        """The model settings of a channel: its own keys over `model:`; nothing repeats where what was seen is excluded."""
        own = self.channels[channel].model.model_dump(mode="json", exclude_unset=True)
        both = _merged(self.model.model_dump(mode="json"), own)
        found = ModelSettings.model_validate_json(json.dumps(both))
        return found.without_repeats() if self.channels[channel].exclude_seen else found


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid upon `base`, mappings key by key."""
    return {**base, **{k: _merged(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v for k, v in over.items()}}
