import { useCallback, useEffect, useRef, useState } from "react";
import { AppState } from "react-native";

import type { Clip } from "./clip";
import { device } from "./device";
import { begin, cancel, convert, discard, resume, type Stage, type Tools } from "./journey";
import { loadPending, type Pending } from "./pending";
import { token } from "./session";
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

const clientOf = (server: string) => new TikToken(server, { token, send: device.send });

/** One clip at a time, from the picker to the player; goes on by itself when the app starts. */
export function useJourney(settings: Settings): Journey {
  const [stage, setStage] = useState<Stage>({ name: "start" });
  const running = useRef<AbortController | null>(null);
  const chosen = useRef<Clip | null>(null); // until there is a copy of it, for another try

  const { server } = settings;

  const run = useCallback(
    (act: (tools: Tools) => Promise<void>) => {
      running.current?.abort();
      const { signal } = (running.current = new AbortController());
      const report = (news: Stage) => {
        // What plays goes on playing while its status is read anew.
        if (!signal.aborted) setStage((before) => (before.name === "playing" && news.name === "working" ? before : news));
      };
      void act({ server, api: clientOf(server), report, signal });
    },
    [server],
  );

  const send = (clip: Clip) => {
    chosen.current = clip;
    run((tools) => begin(clip, settings, tools));
  };

  const goOnBy = useCallback(
    async (way: (pending: Pending, tools: Tools) => Promise<void>) => {
      const pending = await loadPending();
      if (pending) run((tools) => way(pending, tools));
      return pending !== null;
    },
    [run],
  );

  const goOn = async () => {
    if (await goOnBy(resume)) return;
    if (chosen.current) send(chosen.current); // it stopped before there was a copy
    else setStage({ name: "start" });
  };

  const convertIt = (pending: Pending, tools: Tools) => convert(pending, settings, tools);

  const leave = async () => {
    const isOnItsWay = stage.name === "working" || stage.name === "stopped";
    running.current?.abort();
    chosen.current = null;
    setStage({ name: "start" });
    const pending = isOnItsWay ? await loadPending() : null;
    if (pending) await cancel(pending, clientOf(pending.server));
    else await discard();
  };

  // When the app starts, and when it is told another server.
  useEffect(() => {
    void goOnBy(resume);
    return () => running.current?.abort();
  }, [goOnBy]);

  // Who comes back to the app need not wait for the end of a pause.
  const isWaiting = "problem" in stage && stage.problem !== null;
  useEffect(() => {
    const listening = AppState.addEventListener("change", (state) => {
      if (state === "active" && isWaiting) void goOnBy(resume);
    });
    return () => listening.remove();
  }, [isWaiting, goOnBy]);

  return { stage, send, goOn: () => void goOn(), convert: () => void goOnBy(convertIt), leave: () => void leave() };
}
