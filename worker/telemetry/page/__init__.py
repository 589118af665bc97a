"""The status page: markup, styles and scripts in files of their own, joined into the one document that is served."""
