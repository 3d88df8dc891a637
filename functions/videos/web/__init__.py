"""The HTTP API: its answers and errors, authentication, playlists."""
