import { useEventListener } from "expo";
import { useVideoPlayer, type VideoSource } from "expo-video";
import { useRef, useState } from "react";

/** A player that plays in a loop, by the first of `sources` that it can; pass `onFirstFrameRender` to its view. */
export function useFilm(sources: VideoSource[], muted: boolean, onBroken = () => {}) {
  const [isShown, setShown] = useState(false);
  const rest = useRef(sources.slice(1));
  const player = useVideoPlayer(sources[0] ?? null, (created) => {
    created.loop = true;
    created.muted = muted;
    created.play();
  });
  useEventListener(player, "statusChange", ({ status }) => {
    if (status !== "error") return;
    const next = rest.current.shift();
    if (next) player.replaceAsync(next).then(() => player.play(), onBroken);
    else onBroken();
  });
  const onFirstFrameRender = () => {
    setShown(true);
    player.play(); // in a browser, nothing plays before it has a view
  };
  return { player, isShown, onFirstFrameRender };
}
