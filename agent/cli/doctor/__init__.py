"""`ml-intern doctor` and `/doctor`: what is here, what is wrong, what would mend it. Nothing is changed.

    Place ── checks, all at once, each with a time limit ──> findings ──> text | JSON

To add a check: write it in the module it belongs to, and add a row to `agent.cli.doctor.examination.CHECKS`.
"""
