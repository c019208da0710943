"""The parts of `hf_jobs`: reading its arguments, looking ahead, running, and looking at what runs."""
