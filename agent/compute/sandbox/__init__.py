"""Sandboxes: machines elsewhere that run commands and hold files, behind one small Protocol (`words.Sandbox`)."""
