import { useVideoPlayer, type VideoSource } from "expo-video";
import { useEffect } from "react";

/** A player that plays in a loop from the start. */
export function useFilm(source: VideoSource, muted: boolean) {
  const player = useVideoPlayer(source, (created) => {
    created.loop = true;
    created.muted = muted;
  });
  // Not in the setup: in a browser, nothing plays before there is a view.
  useEffect(() => player.play(), [player]);
  return player;
}
