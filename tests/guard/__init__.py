"""The network guard; see sitecustomize.py."""
