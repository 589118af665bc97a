"""The kinds of credentials, a file each: what is presented, and the flow that obtains an authorization for it."""
