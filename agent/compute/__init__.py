"""Places that take work: Hugging Face Jobs, sandboxes, this machine; and the leases on what runs there."""
