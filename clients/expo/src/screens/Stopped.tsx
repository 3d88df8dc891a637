import { StyleSheet, View } from "react-native";
import { SafeAreaView } from "react-native-safe-area-context";

import type { Stage } from "../journey";
import { Button, color, GAP, Screen, Sign, Soft, Title } from "../look";
import { Server } from "../Server";

type Props = {
  stage: Extract<Stage, { name: "stopped" }>;
  server: string;
  onServer: (url: string) => void;
  onTryAgain: () => void;
  onLeave: () => void;
};

export function Stopped({ stage, server, onServer, onTryAgain, onLeave }: Props) {
  const { error, advice, canRetry } = stage;
  return (
    <Screen
      picture={
        <SafeAreaView edges={["top"]} style={styles.picture}>
          <Sign size={40} />
          <View role="alert" style={styles.lines}>
            <Title>{error}</Title>
            {advice.map((line) => (
              <Soft key={line}>{line}</Soft>
            ))}
          </View>
        </SafeAreaView>
      }
    >
      {canRetry && <Button label="Try again" onPress={onTryAgain} />}
      <Button label="New clip" quiet={canRetry} onPress={onLeave} />
      {canRetry && <Server url={server} onChange={onServer} />}
    </Screen>
  );
}

const styles = StyleSheet.create({
  picture: { flex: 1, justifyContent: "center", gap: 14, padding: GAP, backgroundColor: color.sheet },
  lines: { gap: 14 },
});
