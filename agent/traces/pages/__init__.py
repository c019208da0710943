"""A session as a page and as Markdown, for people."""
