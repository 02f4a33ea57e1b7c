"""The storage arm: consistent-hash ring, memcached nodes, replicated store. Knows nothing of HTTP."""
