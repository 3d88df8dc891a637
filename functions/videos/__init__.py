"""The service itself: short portrait videos, from upload ticket to playback.

Shared modules:

    errors       every error a caller handles
    model        what a video is, and the states it moves through
    fix          what is changed of a file that breaks the spec, if its uploader asked for that
    keys         where the files of a video are stored
    quota        how much an owner may upload per day
    policy       timeouts, delays and retry limits
    suggestions  suggestions by who can act on them: users of iOS, Android, a computer; developers
    ports        Storage, Videos, Jobs, Announcements: the interfaces to storage, database, queue, event bus
    mistakes     what an operator got wrong: one sentence, exit status 2
    tools        runs ffmpeg, ffprobe and libmagic
    service      what a step needs: ports, tools, spec, clock
    wiring       reads the environment and builds the service

Packages, by purpose:

    steps        the use cases, one module each, named after the handler that calls it
    checking     measures a file and checks it against the spec
    making       produces the outputs of a clip
    mp4          reads and writes the MP4 format
    telling      the events that changes of videos are told as
    stores       the ports' adapters: AWS, and a folder with SQLite
    web          HTTP: routing, tokens, and the JSON clients see
    telemetry    logs, metrics, counters
    cli          command-line tools

Imports between packages point one way; tests/test_architecture.py enforces it.
"""

__version__ = "0.1.0"  # as in pyproject.toml
