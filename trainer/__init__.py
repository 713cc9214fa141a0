"""The trainer that keeps the model good."""
