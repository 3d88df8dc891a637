import { useCallback, useEffect, useRef, useState } from "react";
import { AppState } from "react-native";

import type { Clip } from "./clip";
import { device } from "./device";
import { begin, convert, discard, resume, type Stage, type Tools } from "./journey";
import { loadPending } from "./pending";
import type { Settings } from "./settings";
import { TikToken } from "./tiktoken";

export type Journey = {
  stage: Stage;
  send: (clip: Clip) => void;
  /** Go on with the pending upload, now. */
  goOn: () => void;
  /** Have the clip that was rejected converted. */
  convert: () => void;
  /** Back to the start; an upload that is not finished is given up. */
  leave: () => void;
};

/** One clip at a time, from the picker to the player; goes on by itself when the app starts. */
export function useJourney(settings: Settings): Journey {
  const [stage, setStage] = useState<Stage>({ name: "start" });
  const running = useRef<AbortController | null>(null);

  const run = useCallback((at: string, act: (tools: Tools) => Promise<void>) => {
    running.current?.abort();
    const { signal } = (running.current = new AbortController());
    const report = (news: Stage) => {
      if (!signal.aborted) setStage(news);
    };
    void act({ api: new TikToken(at, { send: device.send }), report, signal });
  }, []);

  const goOnBy = useCallback(
    async (way: typeof resume) => {
      const pending = await loadPending();
      if (pending) run(pending.server, (tools) => way(pending, tools));
      else setStage({ name: "start" }); // it stopped before there was anything to go on with
    },
    [run],
  );
  const goOn = useCallback(() => goOnBy(resume), [goOnBy]);

  const leave = useCallback(async () => {
    running.current?.abort();
    setStage({ name: "start" });
    await discard();
  }, []);

  useEffect(() => {
    void goOn();
    return () => running.current?.abort();
  }, [goOn]);

  // Who comes back to the app need not wait for the end of a pause.
  const isWaiting = "problem" in stage && stage.problem !== null;
  useEffect(() => {
    const listening = AppState.addEventListener("change", (state) => {
      if (state === "active" && isWaiting) void goOn();
    });
    return () => listening.remove();
  }, [isWaiting, goOn]);

  const send = (clip: Clip) => run(settings.server, (tools) => begin(clip, settings, tools));
  return { stage, send, goOn: () => void goOn(), convert: () => void goOnBy(convert), leave: () => void leave() };
}
