"""Money: one ledger for tokens and compute alike."""
