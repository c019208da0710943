"""ml-intern: a terminal agent for machine-learning engineers. Importing this package loads nothing else."""

__version__ = "0.2.0"
