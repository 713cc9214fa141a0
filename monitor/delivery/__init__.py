"""How a change of an incident reaches the people: the outbox and its targets."""
