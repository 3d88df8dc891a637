import { Image } from "expo-image";
import { useVideoPlayer, VideoView } from "expo-video";
import { useState } from "react";
import { Platform, StyleSheet, Text, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import type { Stage } from "../journey";
import { Button, color, GAP, Pill } from "../look";
import type { Metadata } from "../tiktoken";

type Props = { stage: Extract<Stage, { name: "playing" }>; onNew: () => void };

/** The clip, from the server; first its blurhash, then its poster, then the picture itself. */
export function Play({ stage, onNew }: Props) {
  const { metadata, status, problem } = stage;
  const isDone = status.state === "completed";
  return (
    <View style={styles.screen}>
      <Image
        source={metadata.poster}
        placeholder={metadata.blurhash ? { blurhash: metadata.blurhash } : null}
        placeholderContentFit="cover"
        contentFit="cover"
        style={StyleSheet.absoluteFill}
      />
      <Film metadata={metadata} />
      <SafeAreaView pointerEvents="box-none" style={styles.over}>
        <Pill>{isDone ? "Ready in every size" : `Playing · encoding ${status.progress} %`}</Pill>
        <View pointerEvents="none" style={styles.grow} />
        <View style={styles.foot}>
          <Text numberOfLines={1} style={styles.name}>
            {metadata.filename}
          </Text>
          <Text style={styles.facts}>{factsOf(metadata)}</Text>
          {problem && <Text style={styles.facts}>{problem}</Text>}
        </View>
        <Button label="New clip" onPress={onNew} />
      </SafeAreaView>
    </View>
  );
}

function Film({ metadata }: { metadata: Metadata }) {
  // The first source stays, so that a new rendition does not interrupt who is watching.
  const [source] = useState(() => sourceOf(metadata));
  const [isShown, setShown] = useState(false);
  const player = useVideoPlayer(source, (created) => {
    created.loop = true;
    created.muted = Platform.OS === "web"; // browsers start no sound by themselves
    created.play();
  });
  return (
    <VideoView
      player={player}
      contentFit="cover"
      nativeControls={false}
      onFirstFrameRender={() => setShown(true)}
      style={[StyleSheet.absoluteFill, { opacity: isShown ? 1 : 0 }]}
    />
  );
}

/** HLS chooses the rendition that the connection allows; not every browser plays it. */
function sourceOf({ hls, url }: Metadata) {
  return hls && Platform.OS !== "web" ? { uri: hls, contentType: "hls" as const } : { uri: url };
}

function factsOf({ specs, renditions, storage_info: stored }: Metadata): string {
  const facts = [
    specs && `${specs.width} × ${specs.height}`,
    specs && `${specs.duration.toFixed(1)} s`,
    stored && `${(stored.size_bytes / 1e6).toFixed(1)} MB`,
    renditions.length > 1 && renditions.map(({ name }) => name).join(", "),
  ];
  return facts.filter(Boolean).join("  ·  ");
}

const styles = StyleSheet.create({
  screen: { flex: 1, backgroundColor: color.night },
  over: { flex: 1, padding: GAP, gap: 16 },
  grow: { flex: 1 },
  foot: { gap: 4 },
  name: { color: color.ink, fontSize: 20, fontWeight: "700" },
  facts: { color: color.ink, fontSize: 14, fontVariant: ["tabular-nums"] },
});
