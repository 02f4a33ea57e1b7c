"""What a request costs, beside the peers: `python -m bench` prints tables and, with --write, renews docs.

`payloads` are what sessions hold; `contenders` are the applications, each in a process of its own (`child`, which
`process` starts and talks to); `timing` measures time in interleaved rounds, `counting` memcached commands and waits,
`instructions` machine instructions; `figures` holds them, `reach` compares them with what is to be reached, `report`
and `plot` show them. `test_gate` holds the figures without noise against `figures.txt`.
"""
