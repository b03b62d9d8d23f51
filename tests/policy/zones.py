"""Time zones with every oddity: gaps, folds, half-hour shifts, quarter-hour offsets, both sides of the date line, a day that never was."""

from __future__ import annotations

from datetime import datetime, timedelta

ZONES = (
    "Africa/Cairo", "Africa/Casablanca", "America/Chicago", "America/Havana", "America/New_York", "America/Nuuk", "America/Sao_Paulo",
    "America/St_Johns", "Antarctica/Troll", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tokyo",
    "Australia/Lord_Howe", "Europe/Dublin", "Europe/London", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Pago_Pago",
    "UTC",
)  # fmt: skip


def us(moment: datetime) -> int:
    """Naive UTC as microseconds since 1970."""
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def naive(moment_us: int) -> datetime:
    """Microseconds since 1970 as naive UTC."""
    return datetime(1970, 1, 1) + timedelta(microseconds=moment_us)
