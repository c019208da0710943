"""The web as the tools see it: one client with limits and a cache, and the rule of which addresses may be visited."""
