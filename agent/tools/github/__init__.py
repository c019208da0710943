"""What the GitHub tools share: names, the client, notebooks, and what counts as an example."""
