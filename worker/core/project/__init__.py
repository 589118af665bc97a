"""One project of a pass: what is wished of it, how far it is from that, and what to do about it.

wishes ─► drift ─► plan
"""
