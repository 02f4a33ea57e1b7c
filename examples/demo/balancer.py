"""The configuration of nginx: round robin over the application nodes, no stickiness, nothing outside one directory."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

_MAIN = Template("""\
# Written by the demo; gone when it ends.
daemon off;
pid $directory/nginx.pid;
error_log stderr warn;
worker_processes 1;  # one worker, one turn: the nodes alternate exactly
$user
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $directory/body;
    proxy_temp_path $directory/proxy;
    fastcgi_temp_path $directory/fastcgi;
    uwsgi_temp_path $directory/uwsgi;
    scgi_temp_path $directory/scgi;

    upstream application {
        # max_fails=0: a dead node is tried at every turn. On one machine a refused connection costs nothing,
        # and a node that is back serves at once. Between machines, max_fails=1 fail_timeout=2s is a fair start.
$servers
    }

    # A refused connection always goes on to the other node. So does a GET whose node died over it. A POST that
    # was already sent does not (that would take `non_idempotent`): it may have happened, and the client gets 502.
    proxy_next_upstream error timeout;
    proxy_connect_timeout 1s;
    proxy_read_timeout 10s;
$listeners
}
""")

_LISTENER = Template("""
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_pass http://application;
            proxy_set_header Host $$http_host;
            proxy_set_header X-Forwarded-Host $$http_host;
            proxy_set_header X-Forwarded-For $$remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }
    }""")


def configuration(directory: Path, listeners: Mapping[int, str], application_ports: Iterable[int]) -> str:
    """Return the text of nginx.conf.

    Args:
        directory: for nginx's pid and temporary files.
        listeners: port -> the scheme that requests there are said to have come by ("http" or "https").
        application_ports: where the application nodes listen.
    """
    return _MAIN.substitute(
        directory=directory,
        user=_user(),
        servers="\n".join(f"        server 127.0.0.1:{port} max_fails=0;" for port in application_ports),
        listeners="".join(_LISTENER.substitute(port=port, scheme=scheme) for port, scheme in listeners.items()),
    )


def _user() -> str:
    # Started by root, nginx gives its rights away; the name of nobody's group differs from system to system.
    if os.getuid() != 0:
        return ""
    return f"user nobody {grp.getgrgid(pwd.getpwnam('nobody').pw_gid).gr_name};"
