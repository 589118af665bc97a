"""Who calls, and what IAM, the STS, the metadata service and a pod's endpoint answer.

authentication   a Call → who it is from, or why that is not believed
tokens, temporary_keys, projects, sts, metadata    the calls; service: which of them answers which path
pods             tokens of a cluster
answers          errors, dates and keys as IAM and STS word them
seed             the tables of a seed that say who there is
"""
