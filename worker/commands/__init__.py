"""A file per verb: what it opens, what it prints, and its exit status."""
