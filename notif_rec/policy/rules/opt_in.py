"""Which states of consent permit a channel."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from notif_rec.policy.rule import BoolArray, Filter, Moments, UserBatch
from notif_rec.tables import CONSENTS


class OptIn(Filter):
    """A send only to users whose consent for the channel is one of `allow`; without this rule, `yes` alone."""

    rule: Literal["opt_in"]
    allow: tuple[Literal["yes", "provisional"], ...] = Field(default=("yes",), description="the states that permit; no never does")
    precedence: ClassVar[int] = 10

    @model_validator(mode="after")
    def _consent_always_binds(self) -> Self:
        if self.exempt:
            raise ValueError("consent always binds: opt_in takes no exempt classes")
        return self

    def allows(self, users: UserBatch, moments: Moments) -> BoolArray:
        codes = [CONSENTS.index(word) for word in self.allow]
        return np.isin(users.consent, codes)[:, :, None]
