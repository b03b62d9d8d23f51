"""`recommend`: the raw top-k of each user on one channel, without any policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from notif_rec.config import Config
from notif_rec.errors import DataError, UsageError, did_you_mean
from notif_rec.models.artifact import load_model
from notif_rec.models.interactions import Interactions, read_interactions, read_seen
from notif_rec.models.model import Model
from notif_rec.models.taste import Taste
from notif_rec.planning.audience import in_audience, parse_audience
from notif_rec.scoring.candidates import Candidates, Lists, retrieve
from notif_rec.scoring.live_items import live_items
from notif_rec.store.files import whole_file
from notif_rec.store.store import Store
