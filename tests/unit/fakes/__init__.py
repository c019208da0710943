"""Tests of the fakes: plain HTTP first, then the real litellm client."""
