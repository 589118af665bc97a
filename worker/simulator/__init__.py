"""An IMS and what stands around it, on loopback: for the demo, for rehearsing a manifest, and for the tests.

It imports nothing of the rest of the package, so that what it says about the API is a second opinion.

    seed, demo    a document or a built-in fleet → World
    world         images, shares, vaults, jobs and their lives: plain state behind one clock
    identity      who there is, and what each may do: a part of the world
    options       how this cloud differs from the next: paging, job shapes, limits
    faults        where and how often something goes wrong; effects: what that is
    calls         bytes of a request → Call
    signature     does the caller know the secret?
    api           a Call and a World → Reply; listing, vaults, iam and replies are its parts
    ledger        who called when: windows, counters, arrivals
    server        the sockets around it: `async with Simulator(world) as cloud: cloud.url`
"""
