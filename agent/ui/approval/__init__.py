"""What the approval panel is made of; agent/ui/approval_panel.py is the door."""
