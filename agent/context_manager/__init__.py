"""The history of a session and its invariants."""
