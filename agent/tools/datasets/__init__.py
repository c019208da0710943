"""Looking at a dataset of the Hub: asking, reading what came, and judging what it can train."""
