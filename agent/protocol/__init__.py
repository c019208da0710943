"""The words of the house: what crosses the queues and what history is made of. Knows only the standard library."""
