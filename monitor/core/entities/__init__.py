"""Which companies are watched, and where they stand in a text."""
