import { CameraView, useCameraPermissions, useMicrophonePermissions, type CameraType } from "expo-camera";
import { useEffect, useRef, useState } from "react";
import { AppState, BackHandler, Linking, Platform, Pressable, StyleSheet, Text, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import { clipFromCamera, LENGTHS_S, MAX_BYTES, videoBitRate, type Clip } from "../clip";
import { Button, color, GAP, Pill, Soft, Title } from "../look";

type Props = { onClip: (clip: Clip) => void; onCancel: () => void };

/** The camera as the service wants it: 720p, and a bit rate that fits. Its 30 fps cannot be asked for. */
export function Record({ onClip, onCancel }: Props) {
  const [camera, askForCamera, readCamera] = useCameraPermissions();
  const [microphone, askForMicrophone, readMicrophone] = useMicrophonePermissions();
  const view = useRef<CameraView>(null);
  const [facing, setFacing] = useState<CameraType>("back");
  const [lengthS, setLengthS] = useState<number>(60);
  const [seconds, setSeconds] = useState<number | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const isRecording = seconds !== null;

  useEffect(() => {
    if (!isRecording) return;
    const ticking = setInterval(() => setSeconds((passed) => (passed ?? 0) + 1), 1000);
    return () => clearInterval(ticking);
  }, [isRecording]);

  // Whoever has been to the settings may have allowed it there.
  useEffect(() => {
    const listening = AppState.addEventListener("change", (state) => {
      if (state === "active") void Promise.all([readCamera(), readMicrophone()]).catch(() => {});
    });
    return () => listening.remove();
  }, [readCamera, readMicrophone]);

  // Android's own way back: it would leave the app, and a recording with it.
  useEffect(() => {
    if (Platform.OS !== "android") return;
    const listening = BackHandler.addEventListener("hardwareBackPress", () => {
      if (isRecording) view.current?.stopRecording();
      else onCancel();
      return true;
    });
    return () => listening.remove();
  }, [isRecording, onCancel]);

  if (!camera || !microphone) return <View style={styles.screen} />;
  if (!camera.granted || !microphone.granted) {
    const denied = [camera, microphone].some(({ granted, canAskAgain }) => !granted && !canAskAgain);
    const ask = async () => {
      await askForCamera();
      await askForMicrophone();
    };
    return (
      <SafeAreaView style={styles.asking}>
        <View style={styles.grow} />
        <Title>Camera and microphone</Title>
        <Soft>{denied ? "Recording a clip needs both. Allow them in the settings." : "Recording a clip needs both."}</Soft>
        <View style={styles.grow} />
        {denied ? (
          <Button label="Open the settings" onPress={() => void Linking.openSettings()} />
        ) : (
          <Button label="Allow" onPress={() => void ask()} />
        )}
        <Button label="Back" quiet onPress={onCancel} />
      </SafeAreaView>
    );
  }

  const record = async () => {
    setSeconds(0);
    setProblem(null);
    try {
      const recorded = await view.current?.recordAsync({
        maxDuration: lengthS,
        maxFileSize: MAX_BYTES,
        codec: "avc1", // iOS heeds the bit rate only with a codec
      });
      if (recorded) onClip(clipFromCamera(recorded.uri));
    } catch {
      setProblem("Nothing was recorded. Is there room on this phone, and no other app at its camera?");
    } finally {
      setSeconds(null);
    }
  };

  return (
    <View style={styles.screen}>
      <CameraView
        ref={view}
        mode="video"
        facing={facing}
        videoQuality="720p"
        videoBitrate={videoBitRate(lengthS)}
        style={StyleSheet.absoluteFill}
      />
      <SafeAreaView style={styles.over}>
        {isRecording && <Pill style={styles.clock}>{`0:${String(seconds).padStart(2, "0")} of ${lengthS} s`}</Pill>}
        <View style={styles.grow} />
        {problem && (
          <View accessibilityRole="alert">
            <Pill style={styles.clock}>{problem}</Pill>
          </View>
        )}
        {!isRecording && (
          <View accessibilityRole="radiogroup" accessibilityLabel="Length" style={styles.row}>
            {LENGTHS_S.map((length) => (
              <Pressable
                key={length}
                accessibilityRole="radio"
                accessibilityState={{ checked: length === lengthS }}
                onPress={() => setLengthS(length)}
              >
                <Text style={[styles.length, length === lengthS && styles.chosen]}>{length} s</Text>
              </Pressable>
            ))}
          </View>
        )}
        <Pressable
          accessibilityRole="button"
          accessibilityLabel={isRecording ? "Stop" : "Record"}
          onPress={() => (isRecording ? view.current?.stopRecording() : void record())}
          style={styles.shutter}
        >
          <View style={[styles.red, isRecording && styles.square]} />
        </Pressable>
        {!isRecording && (
          <View style={styles.row}>
            <Button label="Back" quiet onPress={onCancel} />
            <Button label="Turn" quiet onPress={() => setFacing(facing === "back" ? "front" : "back")} />
          </View>
        )}
      </SafeAreaView>
    </View>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1, backgroundColor: color.night },
  asking: { flex: 1, padding: GAP, gap: 12 },
  over: { flex: 1, padding: GAP, gap: 20, alignItems: "center" },
  clock: { alignSelf: "center" },
  grow: { flex: 1 },
  row: { flexDirection: "row", gap: 16, justifyContent: "center" },
  length: { color: color.ink, fontSize: 16, padding: 10, opacity: 0.7 },
  chosen: { opacity: 1, fontWeight: "700", color: color.accent },
  shutter: {
    width: 84,
    height: 84,
    borderRadius: 42,
    borderWidth: 5,
    borderColor: color.ink,
    alignItems: "center",
    justifyContent: "center",
  },
  red: { width: 64, height: 64, borderRadius: 32, backgroundColor: color.accent },
  square: { width: 34, height: 34, borderRadius: 8 },
});
