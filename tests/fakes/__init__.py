"""Fakes at the process edge: loopback servers that stand in for outside services. Nothing here imports `agent`."""
