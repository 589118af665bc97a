"""Accept and reject shared images across a fleet of projects, in batches, and prove the result.

The road of a pass, and where each step is:

    manifest   core/manifest.py      what people ask for
    observe    reconcile/observe.py  what each project is offered, and has said to it
    drift      core/drift.py         the difference
    plan       core/plan.py          less what is in flight or in quarantine
    guard      core/guard.py         a plan that changes too much is refused
    batch      core/batch.py         changes with one project, status and vault: one PUT
    submit     reconcile/submit.py   the intent is journalled, the PUT sent once
    track      reconcile/track.py    the job is polled until it ends
    verify     reconcile/reread.py   the state is read again
    report     core/report.py        the final word for each share

The daemon makes such passes on a schedule (`reconcile/schedule.py`), follows beside them what they leave in flight
(`reconcile/follow.py`), reads its files again (`reload.py`), and shows how things stand (`telemetry/`, fed by events).

`core/` decides and touches nothing; `reconcile/` moves things in time; `cloud/` and `journal/` are the world outside;
`wiring/` is the only place where they meet.
"""
