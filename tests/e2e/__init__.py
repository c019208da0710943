"""Tests of the installed command: headless as a subprocess, interactive in a pty, over the fakes."""
