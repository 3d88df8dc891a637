"""The service itself: short portrait videos, from upload ticket to playback.

    model    what a video is, and the states it moves through
    rules    the spec as data, one small function per rule
    tools    ffprobe, ffmpeg and libmagic
    steps    the use cases; the only place where ports meet rules
    access   who is asking, by their token
    passes   playback links for players that have no token
    ports    Storage, Videos, Jobs: what the steps ask of the outside
    aws      those ports on S3, DynamoDB and SQS
    local    those ports on a folder and SQLite
    api      HTTP vocabulary: resolver, answers, errors to status codes
    wiring   the environment, read once, made into ports
    logs     the log, with the video's id on every line
    metrics  the figures in it
    errors   every refusal

Imports point one way, handlers → api, wiring, steps → tools, rules, ports →
model → errors; tests/test_architecture.py holds them to it.
"""
