"""When negative stories surge past what is normal for that hour."""
