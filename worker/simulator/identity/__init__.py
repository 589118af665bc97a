"""Who there is in the simulated cloud, what each may do, and what each was given: plain state of the world.

model       users, agencies, workloads, projects, and what each may do
rules       how this cloud's identity differs from the next: lives, lockouts, error codes
directory   who there is
issued      tokens and temporary keys, while they live and after
lockouts    who failed too often
"""
