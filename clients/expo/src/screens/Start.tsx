import { StyleSheet, Text, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import type { Clip } from "../clip";
import { Fill } from "../Fill";
import { color, GAP, Pill, Screen, Sign, Soft, Title, Toggle } from "../look";
import { Server } from "../Server";
import type { Settings } from "../settings";
import { Sources } from "../Sources";

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
      {converts && <Fill settings={settings} onSettings={onSettings} />}
      <Server url={server} onChange={(url) => onSettings({ server: url })} />
    </Screen>
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
});
