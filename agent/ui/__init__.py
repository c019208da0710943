"""What the person sees: one renderer per kind of output, each a function of the event stream."""
