import { Image } from "expo-image";
import { VideoView, type VideoSource } from "expo-video";
import { useState } from "react";
import { Platform, Pressable, StyleSheet, Text, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import { Changes } from "../Changes";
import type { Stage } from "../journey";
import { Button, color, GAP, Pill, Screen, Soft } from "../look";
import type { Metadata } from "../tiktoken";
import { useFilm } from "../useFilm";

const BROKEN = "This clip cannot be played now. Check the connection, then play it again.";

type Props = { stage: Extract<Stage, { name: "playing" }>; onNew: () => void };

/** The clip, from the server: first its blurhash, then its poster, then the picture itself. */
export function Play({ stage, onNew }: Props) {
  const { metadata, status, problem } = stage;
  const [turn, setTurn] = useState(0);
  const [isBroken, setBroken] = useState(false);
  const playAgain = () => {
    setBroken(false);
    setTurn(turn + 1);
  };
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
          <Film key={turn} metadata={metadata} onBroken={() => setBroken(true)} />
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
        {isBroken ? <Soft isNews>{BROKEN}</Soft> : <Soft>{problem?.message ?? factsOf(metadata)}</Soft>}
      </View>
      {metadata.fixes && <Changes fixes={metadata.fixes} />}
      {isBroken && <Button label="Play it again" onPress={playAgain} />}
      <Button label="New clip" quiet={isBroken} onPress={onNew} />
    </Screen>
  );
}

/** Plays in a loop; a tap pauses it. */
function Film({ metadata, onBroken }: { metadata: Metadata; onBroken: () => void }) {
  // The first sources stay, so that a new rendition does not interrupt who is watching.
  const [sources] = useState(() => sourcesOf(metadata));
  // Browsers start no sound by themselves.
  const { player, isShown, onFirstFrameRender } = useFilm(sources, Platform.OS === "web", onBroken);
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
function sourcesOf({ hls, url }: Metadata): VideoSource[] {
  const file = { uri: url };
  return hls && Platform.OS !== "web" ? [{ uri: hls, contentType: "hls" }, file] : [file];
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
