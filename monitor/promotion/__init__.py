"""The model's life in the daemon: another one is opened aside, judges the past, and takes the needle over."""
