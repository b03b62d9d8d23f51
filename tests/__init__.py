"""Oracles read time zones where the program does: in the pinned tzdata package, not in the machine's own files."""

import zoneinfo

zoneinfo.reset_tzpath(to=())
