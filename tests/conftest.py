"""What every test stands on."""

from __future__ import annotations

import zoneinfo

zoneinfo.reset_tzpath(to=())  # oracles read zones where the program does: in the pinned tzdata package, not in the machine's own files
