"""Rules: what they wish of what a project is offered, and what is doubtful about how they are written."""
