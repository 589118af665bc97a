"""When to ask how a job is: how long jobs last, the pace of polls that follows from it, and what a poll is worth.

durations    how long the jobs of one kind last, as far as it was seen
pace         when a job is polled: backoff, and where durations are known by their hazard
price        how much further apart polls are where they would take too much of a limit
"""
