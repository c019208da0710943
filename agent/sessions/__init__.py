"""What lasts: the journal of a session, and keeping secrets out of it."""
