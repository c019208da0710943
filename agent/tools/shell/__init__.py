"""Reading bash commands without running them. agent/tools/shell_analysis.py is the door; nothing else is imported."""
