"""The `reflex-proxy` command: starts the proxy as a process of its own, and looks after it."""
