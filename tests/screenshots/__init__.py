"""The README's pictures: real screens of the installed command. See render.py."""
