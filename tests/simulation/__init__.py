"""A deterministic simulation of the replication protocol: the real code over simulated nodes, network and time.

`world` is virtual time and the scheduler; `node` a memcached server; `network` connections, cuts and delays under the
real `MemcachedTransport`; `process` an application process; `lease` how it keeps locks; `journal` what clients did and
saw; `request` one client's request; `checker` the promises; `faults` one fault at a time; `history` puts a random one
together from a seed. `script` plays the written-out ones in `histories`; `mutants` takes one protection out of the real
code.
"""
