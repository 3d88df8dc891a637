import { StyleSheet, Text, View } from "react-native";

import { color } from "./look";
import type { Fix } from "./tiktoken";

const NAMES: Record<string, string> = {
  resolution: "Picture",
  frame_rate: "Frame rate",
  codec: "Codec",
  color: "Colours",
  size: "File size",
};

const inMegabytes = (text: string) =>
  text.replace(/([\d,]+) bytes/g, (_, bytes: string) => `${(Number(bytes.replaceAll(",", "")) / 1e6).toFixed(1)} MB`);

/** What is changed of a clip, so that it keeps the rules. */
export function Changes({ fixes }: { fixes: Fix[] }) {
  return (
    <View>
      {fixes.map(({ rule, found, made }) => (
        <View key={rule} style={styles.change}>
          <Text style={styles.name}>{NAMES[rule] ?? rule.replaceAll("_", " ")}</Text>
          <Text style={styles.values}>
            {inMegabytes(`${found} → ${made}`)}
          </Text>
        </View>
      ))}
    </View>
  );
}

const styles = StyleSheet.create({
  change: { flexDirection: "row", gap: 12, paddingVertical: 3 },
  name: { width: 92, color: color.soft, fontSize: 15, lineHeight: 21 },
  values: { flex: 1, color: color.ink, fontSize: 15, lineHeight: 21, fontVariant: ["tabular-nums"] },
});
