"""Sockets: the only room beside `server` that waits for anything."""
