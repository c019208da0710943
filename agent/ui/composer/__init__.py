"""What the person types into: editing, pastes, history and completion on top of prompt_toolkit."""
