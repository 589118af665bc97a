"""What operators see while the worker works. Fed by values (`worker.core.events`); it decides nothing."""
