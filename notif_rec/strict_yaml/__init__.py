"""YAML without surprises: strict reading, strict models, and every error with its line."""

from notif_rec.strict_yaml.document import Document, Place, Problem, read_text, read_yaml, write_yaml
from notif_rec.strict_yaml.problems import check_model, load_yaml, refuse, validate
from notif_rec.strict_yaml.values import Duration, Percent, StrictModel, TimeOfDay, format_duration, microseconds, parse_duration, show

__all__ = [
    "Document",
    "Duration",
    "Percent",
    "Place",
    "Problem",
    "StrictModel",
    "TimeOfDay",
    "check_model",
    "format_duration",
    "load_yaml",
    "microseconds",
    "parse_duration",
    "read_text",
    "read_yaml",
    "refuse",
    "show",
    "validate",
    "write_yaml",
]
