"""The daemon: from news sources to one trustworthy alert."""
