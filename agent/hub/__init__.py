"""What several tools need to know about the person's Hugging Face account."""
