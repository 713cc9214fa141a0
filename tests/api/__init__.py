"""The API, over HTTP on loopback and a real database."""
