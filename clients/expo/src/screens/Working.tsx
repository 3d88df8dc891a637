import { VideoView } from "expo-video";
import { StyleSheet, Text, View } from "react-native";

import { Changes } from "../Changes";
import type { Stage } from "../journey";
import { Button, color, GAP, Screen, Soft } from "../look";
import { Server } from "../Server";
import { useFilm } from "../useFilm";

type Props = {
  stage: Extract<Stage, { name: "working" }>;
  server: string;
  onServer: (url: string) => void;
  onTryNow: () => void;
  onCancel: () => void;
};

const LINES = {
  preflight: "Looking at your clip",
  sending: "Uploading",
  checking: "Checking every frame",
  converting: "Converting your clip",
};

/** How far it is, or what it waits for. */
export function lineOf({ step, problem }: Props["stage"]): string {
  if (!problem) return LINES[step];
  return problem.status === 0 ? "Connection lost" : "The service is busy";
}

const LEAVE = "You can leave the app; it goes on.";
const NOTES = { preflight: "This takes a moment.", sending: LEAVE, checking: LEAVE, converting: LEAVE };

/** From the picker until it plays. */
export function Working({ stage, server, onServer, onTryNow, onCancel }: Props) {
  const { step, share, uri, problem, fixes } = stage;
  const isConverting = step === "converting";
  const percent = Math.floor(share * 100);
  return (
    <Screen
      picture={
        <>
          {uri && <Preview key={uri} uri={uri} />}
          <View style={[StyleSheet.absoluteFill, styles.shade]} />
          {(step === "sending" || isConverting) && <Text style={styles.percent}>{percent} %</Text>}
        </>
      }
    >
      <View accessibilityLiveRegion="polite" style={styles.lines}>
        <Text accessibilityRole="header" style={styles.line}>
          {lineOf(stage)}
        </Text>
        <Soft>
          {problem ? `${problem.message} Your clip is safe: this goes on by itself.` : NOTES[step]}
        </Soft>
      </View>
      <View
        accessible
        role="progressbar"
        aria-label={isConverting ? "Converted" : "Uploaded"}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        style={styles.track}
      >
        <View style={[styles.bar, problem !== null && styles.paused, { width: `${percent}%` }]} />
      </View>
      {fixes && <Changes fixes={fixes} />}
      {problem && <Button label="Try now" onPress={onTryNow} />}
      <Button label="Cancel" quiet onPress={onCancel} />
      {problem && <Server url={server} onChange={onServer} />}
    </Screen>
  );
}

/** The clip itself, from the phone. */
function Preview({ uri }: { uri: string }) {
  const { player, onFirstFrameRender } = useFilm([uri], true);
  return (
    <VideoView
      player={player}
      contentFit="cover"
      nativeControls={false}
      onFirstFrameRender={onFirstFrameRender}
      style={styles.preview}
    />
  );
}

const styles = StyleSheet.create({
  preview: { width: "100%", height: "100%" },
  shade: { backgroundColor: "rgba(12, 11, 10, 0.5)" },
  percent: {
    position: "absolute",
    left: GAP,
    bottom: GAP - 8,
    color: color.ink,
    fontSize: 84,
    lineHeight: 92,
    fontWeight: "700",
    letterSpacing: -4,
    fontVariant: ["tabular-nums"],
  },
  lines: { gap: 4 },
  line: { color: color.ink, fontSize: 24, fontWeight: "700", letterSpacing: -0.4 },
  track: { height: 6, borderRadius: 3, backgroundColor: color.line, overflow: "hidden" },
  bar: { height: 6, borderRadius: 3, backgroundColor: color.accent },
  paused: { backgroundColor: color.soft },
});
