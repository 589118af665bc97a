"""The manifest: its model, and how it is read from what people wrote."""
