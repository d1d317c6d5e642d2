"""Connections and channels as clients know them: commands in, frames out, no socket and no clock."""
