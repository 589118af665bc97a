"""Accept and reject shared images across a fleet of projects, in batches, and prove the result.

A pass, told by `run_once` in `reconcile/run.py`; each step, where it is, and what it makes:

    load      core/manifest/parse.py    the manifest: the wish for each share (an image offered to a project)
    observe   reconcile/observe.py      a reading of each project, or the reason why there is none
    plan      core/project/plan.py      drift, less what is in flight or quarantined: changes, a status for the rest;
              core/fleet/plan.py        the plans of all projects, put together
    guard     reconcile/guards.py       the one barrier: nothing is sent before it is certain that the whole is allowed;
              core/fleet/guard.py       a plan that rejects, or changes, too much is refused
    batch     core/fleet/batching.py    changes of one project with one operation and vault, which may go in one PUT
    submit    reconcile/submit.py       the intent is journalled, then the PUT sent; again only if it surely did nothing
    track     reconcile/track.py        its job is polled until it ends
    verify    reconcile/reread.py       the project is read again, and `core/outcome.py` says where each share stands
    divide    core/division.py          a batch that failed as a whole, until the images to blame stand alone
    report    core/fleet/report.py      a status for each share that is or was not as desired, a count of the rest

Steps from submit to divide are the run of one project, `reconcile/project_run.py`, beside the runs of all others; what
one PUT comes to is told in `reconcile/batch_run.py`. `run_id` and `RunReport` are of a pass. A vault is where the
backup service keeps what a full-ECS image, one of a whole server, is accepted into. A shard is one of several workers
that share a journal, each with projects of its own.

To follow one share from manifest to report, read `reconcile/run.py`, `core/project/plan.py` (beside it `drift.py`),
`core/outcome.py` and `reconcile/batch_run.py`, in this order; `core/status.py` has the words.

A verb is one file in `commands/`; `cli.py` is put together from what each declares. `session/` has what it works with:
journal and cloud opened (`opening.py`), its limits restored (`limits.py`), its pass made (`passes.py`), and the signals
that stop it (`stopping.py`). `wiring.py` turns settings into the small values that each part needs.

The daemon, `daemon/serve.py`, holds the journal or stands by, makes such passes (`passes.py`) in their time
(`recurrence.py`), follows beside them what they leave in flight (`following.py`), obeys what people ask for by rows of
the journal (`instructions.py`), reads its files again (`reloading.py`) when they have changed (`watching.py`), and
shows how things stand: to the log, in metrics and to systemd (`telemetry.py`), and over HTTP (`endpoint.py`).

`core/` decides and touches nothing; `reconcile/` moves things in time; `cloud/` and `journal/` are the world outside.
"""
