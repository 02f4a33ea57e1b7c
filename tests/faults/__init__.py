"""Real faults: memcached processes behind proxies, application processes, HTTP clients, and a checker of what they saw.

`proxy` stands between one application process and one memcached node and misbehaves as one of `kinds` says; `app` is
the application under test; `cluster` starts all processes and breaks them; `history` is what is recorded; `users` are
the clients; `checker` counts what was lost; `scenarios` are the faults, one by one; `runner` plays one and reports;
`report` makes the tables; `leaks` counts what many faults leave behind in one process.
`python -m faults` plays everything in full and prints the tables; `test_faults` is the short form.
"""
