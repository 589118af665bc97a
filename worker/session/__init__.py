"""What one command works with: its journal and its cloud, opened; its limits; its pass; the signals that stop it."""
