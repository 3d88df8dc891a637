import { useEffect, useState } from "react";
import { Pressable, StyleSheet, Text, TextInput, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import type { Clip } from "../clip";
import { Button, color, GAP, Pill, Screen, Sign, Soft, Title, Toggle } from "../look";
import { toUrl, type Settings } from "../settings";
import { Sources } from "../Sources";
import { TikToken } from "../tiktoken";

type Props = {
  settings: Settings;
  onSettings: (changed: Partial<Settings>) => void;
  onRecord: () => void;
  onClip: (clip: Clip) => void;
};

const RULES = ["720 × 1280", "30 fps", "60 s", "6 MB"];
const RULES_OF_CONVERTING = ["Any picture", "Any frame rate", "60 s"];

export function Start({ settings, onSettings, onRecord, onClip }: Props) {
  const { server, converts } = settings;
  return (
    <Screen
      picture={
        <SafeAreaView edges={["top"]} style={styles.picture}>
          <View style={styles.brand}>
            <Sign size={26} />
            <Text style={styles.name}>TikToken</Text>
          </View>
          <View style={styles.middle}>
            <Sign size={132} />
          </View>
          <View style={styles.rules}>
            {(converts ? RULES_OF_CONVERTING : RULES).map((rule) => (
              <Pill key={rule} style={styles.rule}>
                {rule}
              </Pill>
            ))}
          </View>
        </SafeAreaView>
      }
    >
      <View style={styles.lines}>
        <Title>One minute. Upright.</Title>
        <Soft>Your clip plays for everybody a moment after its upload.</Soft>
      </View>
      <Sources onRecord={onRecord} onClip={onClip} />
      <Toggle
        label="Convert clips that do not fit"
        note="Takes about as long as the clip plays."
        value={converts}
        onChange={(on) => onSettings({ converts: on })}
      />
      <Server url={server} onChange={(url) => onSettings({ server: url })} />
    </Screen>
  );
}

/** Which server this is, whether it answers, and a field to name another. */
function Server({ url, onChange }: { url: string; onChange: (url: string) => void }) {
  const [typed, setTyped] = useState<string | null>(null);
  const [answers, setAnswers] = useState<boolean | null>(null);

  useEffect(() => {
    const stop = new AbortController();
    setAnswers(null);
    const told = (isThere: boolean) => {
      if (!stop.signal.aborted) setAnswers(isThere);
    };
    new TikToken(url).health({ signal: stop.signal }).then(
      () => told(true),
      () => told(false),
    );
    return () => stop.abort();
  }, [url]);

  if (typed === null) {
    const host = url.replace(/^https?:\/\//, "");
    return (
      <Pressable accessibilityRole="button" onPress={() => setTyped(url)} style={styles.server}>
        <View style={[styles.dot, answers === true && styles.there, answers === false && styles.gone]} />
        <Text style={styles.host}>{answers === false ? `No answer from ${host}` : host}</Text>
        <Text style={styles.change}>Change</Text>
      </Pressable>
    );
  }
  const save = () => {
    onChange(toUrl(typed));
    setTyped(null);
  };
  return (
    <View style={styles.typing}>
      <TextInput
        accessibilityLabel="Server"
        autoCapitalize="none"
        autoCorrect={false}
        autoFocus
        inputMode="url"
        onChangeText={setTyped}
        onSubmitEditing={save}
        placeholder="http://192.168.1.5:8000"
        placeholderTextColor={color.soft}
        style={styles.field}
        value={typed}
      />
      <Button label="Use this server" quiet onPress={save} />
    </View>
  );
}

const styles = StyleSheet.create({
  picture: { flex: 1, padding: GAP, backgroundColor: color.sheet },
  brand: { flexDirection: "row", alignItems: "center", gap: 10 },
  name: { color: color.ink, fontSize: 19, fontWeight: "700", letterSpacing: -0.4 },
  middle: { flex: 1, alignItems: "center", justifyContent: "center" },
  rules: { flexDirection: "row", flexWrap: "wrap", justifyContent: "center", gap: 8 },
  rule: { backgroundColor: color.line },
  lines: { gap: 6 },
  server: { flexDirection: "row", alignItems: "center", justifyContent: "center", gap: 8, minHeight: 44 },
  host: { color: color.soft, fontSize: 14 },
  change: { color: color.ink, fontSize: 14, textDecorationLine: "underline" },
  dot: { width: 9, height: 9, borderRadius: 5, borderWidth: 2, borderColor: color.soft },
  there: { backgroundColor: color.ink, borderColor: color.ink },
  gone: { borderColor: color.accent },
  typing: { gap: 10 },
  field: {
    minHeight: 52,
    paddingHorizontal: 18,
    borderRadius: 16,
    borderWidth: 1.5,
    borderColor: color.line,
    backgroundColor: color.sheet,
    color: color.ink,
    fontSize: 16,
  },
});
