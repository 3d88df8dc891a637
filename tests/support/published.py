"""Everything that the service publishes of one clip."""

from dataclasses import dataclass
from pathlib import Path

from support.pipeline import uploaded
from videos import wiring
from videos.fix import OnViolation
from videos.making.outputs import copy_name
from videos.model import State, Video
from videos.steps.check_upload import check_upload
from videos.steps.transcode_video import transcode_video


@dataclass(frozen=True)
class Published:
    """What was sent, and what is there in the end.

    Attributes:
        files: every stored file of the video besides the upload, by name.
    """

    upload: Path
    video: Video
    files: dict[str, Path]

    @property
    def copy(self) -> Path:
        """The output whose picture is a copy of the upload's."""
        assert self.video.media
        output = self.video.output(copy_name(self.video.media))
        assert output, "it was not copied"
        return self.files[Path(output.key).name]

    @property
    def encoded(self) -> dict[str, Path]:
        """The outputs whose picture is not."""
        return {name: path for name, path in self.films.items() if path != self.copy}

    @property
    def films(self) -> dict[str, Path]:
        """The outputs that play."""
        return {name: path for name, path in self.files.items() if path.suffix == ".mp4"}

    @property
    def stills(self) -> dict[str, Path]:
        return {name: path for name, path in self.files.items() if path.suffix == ".jpg"}


def publish(upload: Path, folder: Path, on_violation: OnViolation | None = None) -> Published:
    """Upload, check and transcode in ``folder``, with the real tools."""
    service = wiring.make_service({"STORAGE_MODE": "local", "LOCAL_FOLDER": str(folder)})
    checked = check_upload(uploaded(service, upload, on_violation=on_violation).id, service)
    assert checked.state is State.QUEUED, checked.problems
    video = transcode_video(checked.id, service)
    paths = [service.storage.path(key) for key in service.storage.keys(video.outputs_prefix)]
    return Published(upload, video, {path.name: path for path in paths})
