"""What the person typed becomes operations."""
