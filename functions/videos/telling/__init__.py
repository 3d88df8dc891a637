"""The events that changes of videos are told as."""
