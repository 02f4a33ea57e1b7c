"""How the costs grow: `python -m bench --growth [parts...]` prints tables and, with --write, renews growth.md.

Each part is a module with `measure()`, which returns its section of the page. `site` is the application whose session
they fill; `meter` measures CPU time and memory.
"""
