"""Documentation on this machine: found, indexed, kept fresh, and read; and the Hub's description of its own API."""
