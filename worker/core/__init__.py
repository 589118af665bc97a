"""Pure: what is true, what should be, and what to do. No clock, no chance, no input or output."""
