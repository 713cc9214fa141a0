"""What a text is, once cleaned: its language and its copy signature."""
