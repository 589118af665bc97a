"""How fast the calls of an account may leave, and what its answers teach of that.

```
account      a call within the limits, and what is learned of its answer
throttle     the rates that all calls of an account share      streak    throttle answers in a row
fair_queue   whose turn it is                                  pool      connections, shared out
```
"""
