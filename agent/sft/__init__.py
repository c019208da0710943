"""Finished sessions as training data: tags, filters, rows."""
