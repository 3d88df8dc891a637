import { Image } from "expo-image";
import { VideoView } from "expo-video";
import { useState } from "react";
import { Platform, Pressable, StyleSheet, Text, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import { Changes } from "../Changes";
import type { Stage } from "../journey";
import { Button, color, GAP, Pill, Screen, Soft } from "../look";
import type { Metadata } from "../tiktoken";
import { useFilm } from "../useFilm";

type Props = { stage: Extract<Stage, { name: "playing" }>; onNew: () => void };

/** The clip, from the server: first its blurhash, then its poster, then the picture itself. */
export function Play({ stage, onNew }: Props) {
  const { metadata, status, problem } = stage;
  const isDone = status.state === "completed";
  const sizes = metadata.renditions.map(({ name }) => name).join(", ");
  return (
    <Screen
      picture={
        <>
          <Image
            source={metadata.poster}
            placeholder={metadata.blurhash ? { blurhash: metadata.blurhash } : null}
            placeholderContentFit="cover"
            contentFit="cover"
            style={StyleSheet.absoluteFill}
          />
          <Film metadata={metadata} />
          <SafeAreaView pointerEvents="none" edges={["top"]} style={styles.over}>
            <Pill>{isDone ? `Ready in ${sizes}` : `Playing · smaller sizes ${status.progress} %`}</Pill>
          </SafeAreaView>
        </>
      }
    >
      <View style={styles.lines}>
        <Text accessibilityRole="header" numberOfLines={1} style={styles.name}>
          {metadata.filename}
        </Text>
        <Soft>{problem?.message ?? factsOf(metadata)}</Soft>
      </View>
      {metadata.fixes && <Changes fixes={metadata.fixes} />}
      <Button label="New clip" onPress={onNew} />
    </Screen>
  );
}

/** Plays in a loop; a tap pauses it. */
function Film({ metadata }: { metadata: Metadata }) {
  // The first source stays, so that a new rendition does not interrupt who is watching.
  const [source] = useState(() => sourceOf(metadata));
  // Browsers start no sound by themselves.
  const { player, isShown, onFirstFrameRender } = useFilm(source, Platform.OS === "web");
  return (
    <Pressable
      accessibilityRole="button"
      accessibilityLabel="Play or pause"
      onPress={() => (player.playing ? player.pause() : player.play())}
      style={StyleSheet.absoluteFill}
    >
      <VideoView
        player={player}
        contentFit="cover"
        nativeControls={false}
        onFirstFrameRender={onFirstFrameRender}
        style={[styles.film, { opacity: isShown ? 1 : 0 }]}
      />
    </Pressable>
  );
}

/** HLS chooses the rendition that the connection allows; not every browser plays it. */
function sourceOf({ hls, url }: Metadata) {
  return hls && Platform.OS !== "web" ? { uri: hls, contentType: "hls" as const } : { uri: url };
}

function factsOf({ specs, storage_info: stored, renditions, fixes }: Metadata): string {
  const bytes = fixes ? renditions[0]?.size_bytes : stored?.size_bytes; // as the other facts, not of what was sent
  const facts = [
    specs && `${specs.width} × ${specs.height}`,
    specs && `${specs.fps.toFixed(0)} fps`,
    specs && `${specs.duration.toFixed(1)} s`,
    bytes && `${(bytes / 1e6).toFixed(1)} MB`,
  ];
  return facts.filter(Boolean).join("  ·  ");
}

const styles = StyleSheet.create({
  film: { width: "100%", height: "100%" },
  over: { position: "absolute", top: 0, left: 0, right: 0, padding: GAP },
  lines: { gap: 4 },
  name: { color: color.ink, fontSize: 24, fontWeight: "700", letterSpacing: -0.4 },
});
