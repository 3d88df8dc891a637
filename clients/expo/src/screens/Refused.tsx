import { ScrollView, StyleSheet, Text, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import { adviceFor, canConvert } from "../advice";
import type { Clip } from "../clip";
import { Fill } from "../Fill";
import type { Stage } from "../journey";
import { Button, color, GAP, Screen, Sign, Soft, Title } from "../look";
import type { Settings } from "../settings";
import { Sources } from "../Sources";
import type { Violation } from "../tiktoken";

type Props = {
  stage: Extract<Stage, { name: "refused" }>;
  settings: Settings;
  onSettings: (changed: Partial<Settings>) => void;
  onConvert: () => void;
  onRecord: () => void;
  onClip: (clip: Clip) => void;
  onLeave: () => void;
};

/** Every rule that the clip breaks, and what its owner can do about it on this device. */
export function Refused({ stage, settings, onSettings, onConvert, onRecord, onClip, onLeave }: Props) {
  const { violations, isSent } = stage;
  const isConvertible = canConvert(violations);
  const isOfAnotherShape = violations.some(({ rule }) => rule === "resolution");
  return (
    <Screen
      picture={
        <SafeAreaView edges={["top"]} style={styles.picture}>
          <ScrollView contentContainerStyle={styles.content}>
            <Sign size={40} />
            <View role="alert">
              <Title>This clip does not fit yet.</Title>
            </View>
            <Soft>
              {isSent ? "It was uploaded and checked." : "Nothing was uploaded."}{" "}
              {isConvertible ? "Have it converted, or change this." : "Here is what to change."}
            </Soft>
            {violations.map((violation) => (
              <Broken key={violation.rule} violation={violation} />
            ))}
          </ScrollView>
        </SafeAreaView>
      }
    >
      {isConvertible && isOfAnotherShape && <Fill settings={settings} onSettings={onSettings} />}
      {isConvertible && <Button label="Convert and send" onPress={onConvert} />}
      <Sources again quiet={isConvertible} onRecord={onRecord} onClip={onClip} />
      <Button label="Back" quiet onPress={onLeave} />
    </Screen>
  );
}

function Broken({ violation }: { violation: Violation }) {
  const { rule, found, expected } = violation;
  return (
    <View style={styles.broken}>
      <Text style={styles.rule}>{rule.replaceAll("_", " ")}</Text>
      <Text style={styles.found}>{found}</Text>
      <Text style={styles.expected}>Accepted: {expected}</Text>
      {adviceFor(violation).map((advice) => (
        <View key={advice} style={styles.advice}>
          <View style={styles.bullet} />
          <Text style={styles.adviceText}>{advice}</Text>
        </View>
      ))}
    </View>
  );
}

const styles = StyleSheet.create({
  picture: { flex: 1, backgroundColor: color.sheet },
  content: { flexGrow: 1, justifyContent: "center", gap: 14, padding: GAP },
  broken: { marginTop: 6, padding: 18, gap: 6, borderRadius: 20, backgroundColor: color.paper },
  rule: { color: color.accent, fontSize: 13, fontWeight: "700", letterSpacing: 0.6, textTransform: "uppercase" },
  found: { color: color.ink, fontSize: 24, fontWeight: "700" },
  expected: { color: color.soft, fontSize: 14, marginBottom: 6 },
  advice: { flexDirection: "row", gap: 10 },
  bullet: { width: 6, height: 6, marginTop: 8, borderRadius: 3, backgroundColor: color.accent },
  adviceText: { flex: 1, color: color.ink, fontSize: 16, lineHeight: 22 },
});
