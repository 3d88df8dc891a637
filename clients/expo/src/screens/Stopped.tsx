import { StyleSheet, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import type { Stage } from "../journey";
import { Button, GAP, Soft, Title } from "../look";

type Props = { stage: Extract<Stage, { name: "stopped" }>; onTryAgain: () => void; onLeave: () => void };

export function Stopped({ stage, onTryAgain, onLeave }: Props) {
  const { error, advice, canRetry } = stage;
  return (
    <SafeAreaView style={styles.screen}>
      <View style={styles.middle}>
        <Title>{error}</Title>
        {advice.map((line) => (
          <Soft key={line}>{line}</Soft>
        ))}
      </View>
      {canRetry && <Button label="Try again" onPress={onTryAgain} />}
      <Button label="New clip" quiet={canRetry} onPress={onLeave} />
    </SafeAreaView>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1, padding: GAP, gap: 12 },
  middle: { flex: 1, justifyContent: "center", gap: 14 },
});
