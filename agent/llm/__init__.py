"""Everything about models: which one, how to reach it, what it answered, what went wrong."""
