"""Notifications: how a message reaches the person when they do not look at the terminal."""
