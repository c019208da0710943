"""Tools of MCP servers (Model Context Protocol), through fastmcp's client.

`servers.py` holds all servers of a session, `server.py` one of them, `tools.py` makes a tool of what a server offers.
What a server may want of us (to ask the person, to use our model, to know our directories) is not offered to it.
"""
