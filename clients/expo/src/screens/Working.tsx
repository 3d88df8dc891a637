import { useVideoPlayer, VideoView } from "expo-video";
import { StyleSheet, Text, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import type { Stage } from "../journey";
import { Button, color, GAP } from "../look";

type Props = {
  stage: Extract<Stage, { name: "working" }>;
  onTryNow: () => void;
  onCancel: () => void;
};

/** From the picker until it plays. */
export function Working({ stage, onTryNow, onCancel }: Props) {
  const { step, share, uri, problem } = stage;
  const percent = Math.floor(share * 100);
  const lines = {
    preflight: "Checking what is known",
    sending: share < 1 ? `Uploading ${percent} %` : "Uploaded",
    checking: "Checking the file",
  };
  return (
    <View style={styles.screen}>
      {uri && <Backdrop uri={uri} />}
      <SafeAreaView style={styles.over}>
        <View style={styles.grow} />
        <View accessibilityLiveRegion="polite">
          {step === "sending" && <Text style={styles.percent}>{percent} %</Text>}
          <Text accessibilityRole="header" style={styles.line}>
            {lines[step]}
          </Text>
        </View>
        <View
          accessibilityRole="progressbar"
          accessibilityValue={{ min: 0, max: 100, now: percent }}
          style={styles.track}
        >
          <View style={[styles.bar, { width: `${percent}%` }]} />
        </View>
        {problem && (
          <View style={styles.problem}>
            <Text style={styles.problemText}>{problem} The upload goes on by itself.</Text>
            <Button label="Try now" quiet onPress={onTryNow} />
          </View>
        )}
        <Button label="Cancel" quiet onPress={onCancel} />
      </SafeAreaView>
    </View>
  );
}

/** The clip itself, darkened, from the phone. */
function Backdrop({ uri }: { uri: string }) {
  const player = useVideoPlayer(uri, (created) => {
    created.loop = true;
    created.muted = true;
    created.play();
  });
  return (
    <View style={[StyleSheet.absoluteFill, styles.backdrop]}>
      <VideoView player={player} style={styles.cover} contentFit="cover" nativeControls={false} />
      <View style={[StyleSheet.absoluteFill, styles.shade]} />
    </View>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1, backgroundColor: color.night },
  over: { flex: 1, padding: GAP, gap: 18 },
  grow: { flex: 1 },
  backdrop: { overflow: "hidden" },
  cover: { width: "100%", height: "100%" },
  shade: { backgroundColor: "rgba(12, 11, 10, 0.6)" },
  percent: { color: color.ink, fontSize: 72, lineHeight: 78, fontWeight: "700", letterSpacing: -3, fontVariant: ["tabular-nums"] },
  line: { color: color.ink, fontSize: 20, fontWeight: "600" },
  track: { height: 6, borderRadius: 3, backgroundColor: "rgba(245, 241, 234, 0.22)", overflow: "hidden" },
  bar: { height: 6, borderRadius: 3, backgroundColor: color.accent },
  problem: { gap: 12, padding: 16, borderRadius: 20, backgroundColor: "rgba(12, 11, 10, 0.72)" },
  problemText: { color: color.ink, fontSize: 15, lineHeight: 21 },
});
