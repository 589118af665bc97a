"""What must survive a crash: the lives of batches, the quarantine, the passes; and who may write it.

The cloud is the truth and this is a memory: losing it costs time, and may repeat a PUT whose job is still alive.
"""
