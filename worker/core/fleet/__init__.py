"""The projects of a pass together: what guards allow, in which order batches go, and what is reported."""
