"""What `hf_papers` is made of: the services it asks, papers read into sections, and lists of papers as text."""
