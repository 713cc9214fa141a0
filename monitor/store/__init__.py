"""The database: articles, judgements, rollups, incidents, the outbox and the ledger."""
