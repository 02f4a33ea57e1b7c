"""A demo that dies on purpose: two application nodes, three memcached nodes and a balancer that sticks to nobody.

Read it bottom-up: `guard` and `process` (one child process), `balancer` and `cluster` (all of them), `control` (the
page may kill), `app` with `pages`, `api` and `picture` (what uses the library), `client`, `load`, `htmlpage`
and `check` with its steps (the examination), `__main__` (the command line).
"""
