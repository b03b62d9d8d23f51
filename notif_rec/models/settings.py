"""The knobs of the ranking models, named as in the iALS papers; every default works untuned."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, field_validator

from notif_rec.strict_yaml import Duration, StrictModel

Solver = Literal["implicit", "diagonal"]


class SimilarSettings(StrictModel):
    """Items that the same people like: a two-step walk user → item → user → item, RP3β with its exponents apart.

    W[i, j] = Σ_u x_ui · x_uj / (degree_u^user_exponent · degree_i^source_exponent · degree_j^target_exponent).
    RP3β of the paper is user = source = alpha, target = beta. Source: Christoffel et al., RecSys'15.
    """

    user_exponent: float = Field(default=0.8, ge=0, le=2, description="how much a user with a long history counts for less")
    source_exponent: float = Field(default=0.6, ge=0, le=2, description="how much the popularity of a liked item is discounted")
    target_exponent: float = Field(default=0.3, ge=0, le=2, description="how much the popularity of a recommended item is discounted")
    neighbours: int = Field(default=400, ge=1, le=5000, description="similar items kept for each item")
    regression: float = Field(default=0.5, ge=0, le=1, description="share of the ridge regression between items; the rest is the walk")
    ridge: float = Field(default=7.0, gt=0, le=1e4, description="how far the regression is pulled to 0, times √ of an item's mean degree")
    support: int = Field(default=64, ge=1, le=500, description="items that may foretell an item in the regression")
    content: float = Field(
        default=0.25, ge=0, le=10, description="how loudly what is popular now of the same words, category and tags speaks, against 1 for "
        "what the same people like",
    )  # fmt: skip
    repeat: float = Field(
        default=4.0, ge=0, le=100, description="how loudly an item that was had speaks for itself, against 1 for all its like; only "
        "where a channel does not exclude what was seen",
    )  # fmt: skip


class ModelSettings(StrictModel):
    """One channel's ranking model.

    Loss: Σ_seen w (ŷ − 1)² + α0 Σ_all ŷ² + λ Σ_rows (Σw + α0·n)^ν ‖row‖², with weights w of mean about 1.
    Source: Rendle et al., "Revisiting the Performance of iALS", RecSys'22.
    """

    factors: int = Field(default=64, ge=16, le=1024, description="length of the vectors of users and items")
    iterations: int = Field(default=12, ge=1, le=100, description="ALS epochs")
    unobserved_weight: float | None = Field(
        default=None, gt=0, le=1, description="weight of a pair that was not seen (α0); null: from the density of the data"
    )
    regularization: float = Field(default=0.01, gt=0, le=100, description="λ")
    regularization_exponent: float = Field(default=1.0, ge=0, le=1, description="ν: 1 = rows with more evidence are pulled harder")
    half_life: Duration | None = Field(default=timedelta(days=90), description="age at which an event counts half; null: never fades")
    recent_half_life: Duration | None = Field(
        default=None, description="the same for what is popular now; null: that by which the newest signs are foretold best"
    )
    transfer: float = Field(default=0.5, ge=0, le=1, description="weight of other channels and organic events against a channel's own")
    solver: Solver = Field(
        default="implicit", description="of ALS: implicit's compiled kernel, or diagonal, our own: the same loss, less work, bias"
    )
    bias: bool = Field(default=False, description="items have a popularity of their own in ALS, apart from taste; needs solver: diagonal")
    blend: float = Field(default=0.5, ge=0, le=1, description="share of similar items in the score; the rest is ALS")
    trend: float | None = Field(
        default=None, ge=0, le=10, description="weight of what is popular now, against 1 for taste; where times are known; null: 0.2, or "
        "as many nats as it foretells the newest signs better than what was ever popular",
    )  # fmt: skip
    drift: float | None = Field(
        default=None, ge=0, le=100, description="weight of what is more or less popular now than when taste was learned, from −1 to 1, "
        "against 1 for taste; where times are known; null: how far what changed went on to change in the newest days",
    )  # fmt: skip
    prior: float = Field(
        default=3.0, ge=0, le=1000, description="typical pairs that what is popular is worth against the taste of a user with few"
    )
    similar: SimilarSettings = SimilarSettings()
    text_worth: float = Field(default=3.0, ge=0, le=1e6, description="typical pairs that the text of an item is worth; 0: no text")

    def without_repeats(self) -> ModelSettings:
        """The same for a channel that never offers an item again."""
        return self.model_copy(update={"similar": self.similar.model_copy(update={"repeat": 0.0})})

    @field_validator("half_life", "recent_half_life")
    @classmethod
    def _some_time(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not value:
            raise ValueError("0 is no half-life; write at least 1m, or null for events that never fade")
        return value
