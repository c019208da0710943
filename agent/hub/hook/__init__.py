"""What runs inside of the Pythons of a job: sent as text by `agent.hub.artifact_hook`, never imported here."""
