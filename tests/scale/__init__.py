"""A very large ring, by arithmetic and simulation: `python -m scale` prints tables, with --write renews scale.md.

`circle` knows exactly which share of all sessions lies on which nodes, from the project's own `Ring`. `balance`,
`moves` and `zones` ask it; `repair` plays the users of one node's sessions; `cost` counts commands with the project's
own `Store`; `records` measures bytes with its `RecordCodec`; `sockets` plays the connections of one process; `silence`
the minutes after a zone stops answering. Chance has a seed.
"""
