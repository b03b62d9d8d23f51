"""What `evaluate` says of probabilities, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from notif_rec.cli.render import Table, count

if TYPE_CHECKING:
    from notif_rec.scoring.contest import Contest, EngagementReport
    from notif_rec.scoring.reliability import Ratio

COLUMNS = ("channel", "outcome", "model", "log loss", "auc", "ne", "o/e", "95 %", "ece", "model leads log loss by (95 %)", "auc by (95 %)")
PARTS = ("channel", "outcome", "part", "rows", "observed", "expected", "o/e", "95 %")


def engagement_tables(report: EngagementReport) -> Iterator[Table]:
    """One table a channel and outcome, and one of its parts."""
    for channel, outcomes in report.channels.items():
        for outcome, found in outcomes.items():
            title = f"{channel}: {count(found.rows)} later rows, {count(round(found.positives))} {outcome}; the model is {found.kind}"
            yield Table(COLUMNS, [_row(channel, outcome, name, found) for name in found.models], title)
            yield Table(
                PARTS, list(_parts(channel, outcome, found)), f"{channel}: {outcome}, observed over expected by tenth of p and by cohort"
            )


def _row(channel: str, outcome: str, name: str, found: Contest) -> tuple[object, ...]:
    verdict, leads = found.models[name], found.leads.get(name, {})
    numbers = (verdict.log_loss, verdict.auc, verdict.ne)
    told = [f"{leads[m].mean:+.5f} [{leads[m].low:+.5f}, {leads[m].high:+.5f}]" if m in leads else "" for m in ("log_loss", "auc")]
    return (
        channel,
        outcome,
        name,
        *("" if x is None else f"{x:.5f}" for x in numbers),
        *_ratio(verdict.whole),
        f"{verdict.ece:.4f}",
        *told,
    )


def _parts(channel: str, outcome: str, found: Contest) -> Iterator[tuple[object, ...]]:
    model = found.models["model"]
    parts = {f"tenth {place}": ratio for place, ratio in enumerate(model.tenths, start=1)} | dict(model.cohorts)
    for name, ratio in parts.items():
        yield (channel, outcome, name, ratio.n, round(ratio.observed), f"{ratio.expected:.1f}", *_ratio(ratio))


def _ratio(ratio: Ratio) -> tuple[str, str]:
    return f"{ratio.ratio:.3f}", f"[{ratio.low:.3f}, {ratio.high:.3f}]"
