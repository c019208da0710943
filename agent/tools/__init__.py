"""The hands of the agent: one file per tool."""
