"""The HTTP interface: reading, pushing, health and metrics."""
