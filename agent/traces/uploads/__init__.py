"""Sending sessions to a dataset on the Hub, from a process of its own."""
