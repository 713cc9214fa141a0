"""Where news comes from: feeds, the push door, archive files."""
