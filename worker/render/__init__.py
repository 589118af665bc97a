"""What a command prints: problems, plans, reports and the journal's state, for people and as JSON."""
