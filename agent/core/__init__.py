"""The loop: submissions in, turns run, events out."""
