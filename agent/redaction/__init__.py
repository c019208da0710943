"""Keeping secrets out of all that is written, shown or sent."""
