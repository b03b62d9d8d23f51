"""What may be sent: rules, one file each, and how they are read."""
