import { useEffect, useState } from "react";
import { Pressable, StyleSheet, Text, TextInput, View } from "react-native";

import { Button, color } from "./look";
import { toUrl } from "./settings";
import { TikToken } from "./tiktoken";

const ANOTHER_LOOK_MS = 3000;

/** Which server this is, whether it answers, and a field to name another. */
export function Server({ url, onChange }: { url: string; onChange: (url: string) => void }) {
  const [typed, setTyped] = useState<string | null>(null);
  const [answers, setAnswers] = useState<boolean | null>(null);

  useEffect(() => {
    const stop = new AbortController();
    setAnswers(null);
    let timer: ReturnType<typeof setTimeout>;
    const told = (isThere: boolean) => {
      if (stop.signal.aborted) return;
      setAnswers(isThere);
      if (!isThere) timer = setTimeout(look, ANOTHER_LOOK_MS);
    };
    const look = () => {
      new TikToken(url).health({ signal: stop.signal }).then(
        () => told(true),
        () => told(false),
      );
    };
    look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
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
