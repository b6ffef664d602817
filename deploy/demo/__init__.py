"""The demonstration: a consortium and three companies on this machine, and the story of one exchange between them.

Everything runs as in production: separate processes, real HTTPS, the public command line and management APIs. The stories
are data in `deploy/pilots`. Not here: anything that only the demonstration could do.
"""
