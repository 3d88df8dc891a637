import { useVideoPlayer, type VideoSource } from "expo-video";
import { useState } from "react";

/** A player that plays in a loop from the start; pass `onFirstFrameRender` to its view. */
export function useFilm(source: VideoSource, muted: boolean) {
  const [isShown, setShown] = useState(false);
  const player = useVideoPlayer(source, (created) => {
    created.loop = true;
    created.muted = muted;
    created.play();
  });
  const onFirstFrameRender = () => {
    setShown(true);
    player.play(); // in a browser, nothing plays before it has a view
  };
  return { player, isShown, onFirstFrameRender };
}
