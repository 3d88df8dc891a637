"""The status route as a bare FastAPI app, for ``dev.status_rate``: it reads the local server's database.

It opens the database for each request, since FastAPI calls the route in many threads and a connection
belongs to one.
"""

import json
import os
import sqlite3
from contextlib import closing

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

app = FastAPI()


class Status(BaseModel):
    id: str
    state: str
    progress: int
    playable: bool
    updated_at: str


@app.get("/videos/{video_id}/status")
def get_status(video_id: str) -> Status:
    with closing(sqlite3.connect(os.environ["DATABASE"])) as database:
        row = database.execute("SELECT document FROM videos WHERE id = ?", (video_id,)).fetchone()
    if row is None:
        raise HTTPException(404)
    video = json.loads(row[0])
    return Status(**video, playable=video["playable_at"] is not None)
