"""The doctor: what was seen of credentials and projects → what is wrong, and what to do about it."""
