"""Views of a session's journal for other programs and for people, and sending them to the Hub."""
