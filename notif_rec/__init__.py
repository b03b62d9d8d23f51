"""notif-rec: ranked, policy-abiding send lists from interaction logs."""

__version__ = "0.1.0"
