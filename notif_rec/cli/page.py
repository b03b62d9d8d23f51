"""A report as one HTML page that needs nothing else: no script, no font, no picture from anywhere; every chart is a table too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notif_rec.workflows.report import Report

COLOURS = ("#0b6e99", "#b45309", "#4d7c0f", "#7c3aed", "#be123c", "#475569")  # told apart by colour-blind eyes, and by the legend
STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line) }
th { text-align: left; font-weight: 600 } td.n, th.n { text-align: right } svg { width: 100%; height: auto; background: var(--soft) }
svg text { fill: currentColor; font: 11px system-ui, sans-serif } .key span { margin-right: 1.2rem } details { margin: .5rem 0 }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .4em }
@media print { details { display: none } body { max-width: none } }
"""
WEEK = ("budget", "spent", "granted", "price")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    """The whole document; ids and titles are escaped, whatever they hold."""
    plan, told = report.plan, report.manifest
    title = f"Plan {plan.plan_id}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        _facts(report),
        _section("What is sent", _channels(report), _per_user(report)),
        _section("What is dropped, and why", _drops(report)),
        _section("When, on the users' own clocks", _bars(report.hours, [f"{hour:02d}" for hour in range(24)], "sends by local hour")),
        _section(f"The items of it ({report.n_items:,} different ones)", _items(report), _sources(report)),
        _section("The last four weeks of the ledger", _bars(report.trend, [f"{day:%d.%m.}" for day in report.days], "sends by day (UTC)")),
    ]
    if told["prices"]:
        parts.append(_section("What quotas cost", _table("price of each quota", ("quota", "price"), sorted(told["prices"].items()))))
    if told.get("weekly"):
        parts.append(_section("What a week holds", _table("weekly budgets", ("channel", *WEEK), _weeks(told["weekly"]))))
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{_text(title)}</title>'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    body = f"<body><main>{''.join(parts)}</main></body>"
    return f'<!doctype html>\n<html lang="en"><head>{head}{view}<style>{STYLE}</style></head>{body}</html>\n'


def _weeks(told: Mapping[str, Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """A row a channel: its weekly budget, what of it was sent and is granted, and what a further send must add."""
    return [(channel, *(week[word] if week[word] is not None else "nothing is left" for word in WEEK)) for channel, week in told.items()]


def _facts(report: Report) -> str:
    told = report.manifest
    checked = (
        "not applied, so not audited" if report.violations is None else f"{report.violations} violations, {report.overtaken} overtaken"
    )
    rows = [
        ("as of", f"{report.plan.as_of:%Y-%m-%d %H:%M} UTC"),
        ("state", report.plan.state),
        ("users looked at", told["users"]),
        ("value", f"{told['value']:,.2f} of at most {told['bound']:,.2f} (gap {told['gap']:.3%})"),
        ("audit", checked),
        ("held out: recorded, not sent", told["shadows"]),
        ("model", told["model_id"]),
        ("config", told["config_hash"][:16]),
    ]
    return _table("in short", ("", ""), rows)


def _channels(report: Report) -> str:
    columns = ("channel", "sends", "users", "items", "value", "mean chance of an open", "mean chance of a click on an item")
    rows = [(name, *_counts(c), f"{c['value']:,.2f}", f"{c['p_open']:.2%}", f"{c['p_click']:.2%}") for name, c in report.channels.items()]
    return _table("by channel", columns, rows)


def _counts(channel: Mapping[str, float]) -> tuple[int, ...]:
    return tuple(int(channel[key]) for key in ("sends", "users", "items"))


def _per_user(report: Report) -> str:
    nobody = report.manifest["users"] - sum(users for _, users in report.per_user)
    return _table("how many sends a user gets", ("sends", "users"), [(0, nobody), *report.per_user])


def _drops(report: Report) -> str:
    reasons = list(report.manifest["dropped"])
    rows = [(reason, *(report.drops[c].get(reason, 0) for c in report.drops), report.manifest["dropped"][reason]) for reason in reasons]
    return _table("candidates by the reason that heads them", ("reason", *report.drops, "all"), rows)


def _items(report: Report) -> str:
    return _table("the most sent", ("item", "title", "category", "sends"), report.items)


def _sources(report: Report) -> str:
    return _table("where they came from", ("source", "items"), report.sources)


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{''.join(parts)}</section>"


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    body = [[value if isinstance(value, int) else str(value) for value in row] for row in rows]
    numeric = [bool(body) and all(isinstance(row[place], int) for row in body) for place in range(len(columns))]
    kinds = [' class="n"' if one else "" for one in numeric]
    named = any(columns)
    head = "".join(f'<th scope="col"{kind}>{_text(name)}</th>' for name, kind in zip(columns, kinds, strict=True)) if named else ""
    lines = "".join(
        "<tr>" + "".join(_cell(value, kind, first=place == 0) for place, (value, kind) in enumerate(zip(row, kinds, strict=True))) + "</tr>"
        for row in body
    )
    return f"<table><caption>{_text(caption)}</caption>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{lines}</tbody></table>"


def _cell(value: object, kind: str, *, first: bool) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return f'<th scope="row"{kind}>{_text(text)}</th>' if first else f"<td{kind}>{_text(text)}</td>"


def _bars(series: Mapping[str, Sequence[int]], labels: Sequence[str], title: str) -> str:
    """Stacked bars, a key, and the same figures as a table that unfolds."""
    width, height, left = 840, 200, 44
    totals = [sum(counts[at] for counts in series.values()) for at in range(len(labels))]
    most, step = max(max(totals, default=0), 1), (width - left) / max(len(labels), 1)
    shapes = [f'<text x="4" y="14">{most:,}</text><text x="4" y="{height}">0</text>']
    for at, label in enumerate(labels):
        base = float(height)
        for colour, counts in zip(_cycle(len(series)), series.values(), strict=True):
            tall = counts[at] / most * (height - 8)
            base -= tall
            if tall:
                shapes.append(
                    f'<rect x="{left + at * step:.1f}" y="{base:.1f}" width="{step * 0.8:.1f}" height="{tall:.1f}" fill="{colour}"/>'
                )
        if at % max(1, len(labels) // 12) == 0:
            shapes.append(f'<text x="{left + at * step:.1f}" y="{height + 16}">{_text(label)}</text>')
    svg = f'<svg role="img" aria-label="{_text(title)}" viewBox="0 0 {width} {height + 22}">{"".join(shapes)}</svg>'
    marks = zip(_cycle(len(series)), series, strict=True)
    key = "".join(f'<span><i style="background:{colour}"></i>{_text(name)}</span>' for colour, name in marks)
    rows = [(label, *(counts[at] for counts in series.values())) for at, label in enumerate(labels)]
    return f'{svg}<p class="key">{key}</p><details><summary>as a table</summary>{_table(title, ("", *series), rows)}</details>'


def _cycle(n: int) -> list[str]:
    return [COLOURS[at % len(COLOURS)] for at in range(n)]


def _text(value: str) -> str:
    return escape(value, quote=True)
