import type { ReactNode } from "react";
import {
  KeyboardAvoidingView,
  Platform,
  Pressable,
  ScrollView,
  StyleSheet,
  Switch,
  Text,
  View,
  type StyleProp,
  type ViewStyle,
} from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

export const color = {
  night: "#0c0b0a",
  paper: "#131211",
  sheet: "#1d1b19",
  line: "#34312d",
  ink: "#f5f1ea",
  soft: "#aaa399",
  accent: "#ff7d4d",
  onAccent: "#1f0c03",
};

/** The sides of every screen. */
export const GAP = 24;

/** A picture, and below it what there is to say and to do: it scrolls where the screen is small, or the text large. */
export function Screen({ picture, children }: { picture: ReactNode; children: ReactNode }) {
  return (
    <KeyboardAvoidingView behavior={Platform.OS === "ios" ? "padding" : undefined} style={styles.screen}>
      <View style={styles.picture}>{picture}</View>
      <SafeAreaView edges={["bottom"]} style={styles.panel}>
        <ScrollView
          alwaysBounceVertical={false}
          keyboardShouldPersistTaps="handled"
          style={styles.scrolling}
          contentContainerStyle={styles.content}
        >
          {children}
        </ScrollView>
      </SafeAreaView>
    </KeyboardAvoidingView>
  );
}

export function Title({ children }: { children: ReactNode }) {
  return (
    <Text accessibilityRole="header" style={styles.title}>
      {children}
    </Text>
  );
}

/** `isNews`: read aloud when it appears. */
export function Soft({ children, isNews }: { children: ReactNode; isNews?: boolean }) {
  return (
    <Text accessibilityLiveRegion={isNews ? "polite" : undefined} style={styles.soft}>
      {children}
    </Text>
  );
}

export function Button({ label, onPress, quiet }: { label: string; onPress: () => void; quiet?: boolean }) {
  return (
    <Pressable
      accessibilityRole="button"
      onPress={onPress}
      style={({ pressed }) => [styles.button, quiet && styles.quiet, pressed && styles.pressed]}
    >
      <Text style={[styles.label, quiet && styles.quietLabel]}>{label}</Text>
    </Pressable>
  );
}

type ToggleProps = { label: string; note: string; value: boolean; onChange: (on: boolean) => void };

/** A switch, with what it does. */
export function Toggle({ label, note, value, onChange }: ToggleProps) {
  return (
    <View style={styles.toggle}>
      <View style={styles.toggleText}>
        <Text style={styles.toggleLabel}>{label}</Text>
        <Text style={styles.note}>{note}</Text>
      </View>
      <Switch
        accessibilityLabel={label}
        value={value}
        onValueChange={onChange}
        thumbColor={color.ink}
        trackColor={{ false: color.line, true: color.accent }}
        {...thumbOfBrowsers}
      />
    </View>
  );
}

const thumbOfBrowsers = { activeThumbColor: color.ink }; // React Native for the web alone knows it

/** What floats over a picture. */
export function Pill({ children, style }: { children: ReactNode; style?: StyleProp<ViewStyle> }) {
  return (
    <View style={[styles.pill, style]}>
      <Text style={styles.pillText}>{children}</Text>
    </View>
  );
}

/** The sign: a phone upright, and a triangle that plays. */
export function Sign({ size }: { size: number }) {
  return (
    <View style={[styles.sign, { width: size * 0.64, height: size, borderRadius: size * 0.2 }]}>
      <View
        style={{
          marginLeft: size * 0.06,
          borderLeftWidth: size * 0.26,
          borderTopWidth: size * 0.17,
          borderBottomWidth: size * 0.17,
          borderTopColor: "transparent",
          borderBottomColor: "transparent",
          borderLeftColor: color.onAccent,
        }}
      />
    </View>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1, backgroundColor: color.paper },
  picture: {
    flex: 1,
    minHeight: 140,
    overflow: "hidden",
    borderBottomLeftRadius: 28,
    borderBottomRightRadius: 28,
    backgroundColor: color.night,
  },
  panel: { flexShrink: 1 },
  scrolling: { flexGrow: 0, flexShrink: 1 },
  content: { padding: GAP, gap: 16 },
  title: { color: color.ink, fontSize: 34, lineHeight: 39, fontWeight: "700", letterSpacing: -0.8 },
  soft: { color: color.soft, fontSize: 16, lineHeight: 23 },
  button: {
    minHeight: 54,
    paddingHorizontal: 24,
    borderRadius: 27,
    alignItems: "center",
    justifyContent: "center",
    backgroundColor: color.accent,
  },
  quiet: { backgroundColor: "transparent", borderWidth: 1.5, borderColor: color.line },
  pressed: { opacity: 0.75 },
  label: { color: color.onAccent, fontSize: 17, fontWeight: "600" },
  quietLabel: { color: color.ink },
  toggle: { flexDirection: "row", alignItems: "center", gap: 16, minHeight: 44 },
  toggleText: { flex: 1, gap: 2 },
  toggleLabel: { color: color.ink, fontSize: 16, fontWeight: "600" },
  note: { color: color.soft, fontSize: 14, lineHeight: 19 },
  pill: {
    alignSelf: "flex-start",
    paddingHorizontal: 12,
    paddingVertical: 6,
    borderRadius: 14,
    backgroundColor: "rgba(12, 11, 10, 0.62)",
  },
  pillText: { color: color.ink, fontSize: 13, fontWeight: "600", fontVariant: ["tabular-nums"] },
  sign: { alignItems: "center", justifyContent: "center", backgroundColor: color.accent },
});
