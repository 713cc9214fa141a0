"""The model: the one place, beside the trainer, where torch lives."""
