import { StatusBar } from "expo-status-bar";
import { useEffect, useState } from "react";
import { AccessibilityInfo, Platform, StyleSheet, View } from "react-native";
import { initialWindowMetrics, SafeAreaProvider } from "react-native-safe-area-context";

import type { Stage } from "./journey";
import { color } from "./look";
import { Play } from "./screens/Play";
import { Record } from "./screens/Record";
import { Refused } from "./screens/Refused";
import { Start } from "./screens/Start";
import { Stopped } from "./screens/Stopped";
import { lineOf, Working } from "./screens/Working";
import { loadSettings, saveSettings, type Settings } from "./settings";
import { useJourney } from "./useJourney";

export default function App() {
  const [settings, setSettings] = useState<Settings | null>(null);
  useEffect(() => void loadSettings().then(setSettings), []);
  const change = (changed: Partial<Settings>) => {
    setSettings((before) => before && { ...before, ...changed });
    void saveSettings(changed);
  };
  return (
    <SafeAreaProvider initialMetrics={initialWindowMetrics}>
      <StatusBar style="light" />
      <View style={styles.app}>{settings && <Screens settings={settings} onSettings={change} />}</View>
    </SafeAreaProvider>
  );
}

type ScreensProps = { settings: Settings; onSettings: (changed: Partial<Settings>) => void };

function Screens({ settings, onSettings }: ScreensProps) {
  const { stage, send, goOn, convert, leave } = useJourney(settings);
  const [isRecording, setRecording] = useState(false);
  const record = () => setRecording(true);
  const { server } = settings;
  const onServer = (url: string) => onSettings({ server: url });

  const news = newsOf(stage);
  useEffect(() => {
    if (Platform.OS === "ios" && news) AccessibilityInfo.announceForAccessibility(news);
  }, [news]);

  if (isRecording) {
    return (
      <Record
        onClip={(clip) => {
          setRecording(false);
          send(clip);
        }}
        onCancel={() => setRecording(false)}
      />
    );
  }
  switch (stage.name) {
    case "start":
      return <Start settings={settings} onSettings={onSettings} onRecord={record} onClip={send} />;
    case "working":
      return <Working stage={stage} server={server} onServer={onServer} onTryNow={goOn} onCancel={leave} />;
    case "playing":
      return <Play key={stage.metadata.id} stage={stage} onNew={leave} />;
    case "refused":
      return (
        <Refused
          stage={stage}
          settings={settings}
          onSettings={onSettings}
          onConvert={convert}
          onRecord={record}
          onClip={send}
          onLeave={leave}
        />
      );
    case "stopped":
      return <Stopped stage={stage} server={server} onServer={onServer} onTryAgain={goOn} onLeave={leave} />;
  }
}

/** What VoiceOver, which knows no live regions, is to say when the stage changes. */
function newsOf(stage: Stage): string {
  switch (stage.name) {
    case "start":
      return "";
    case "working":
      return lineOf(stage);
    case "playing":
      return stage.status.state === "completed" ? "Ready" : "Playing";
    case "refused":
      return "This clip does not fit yet.";
    case "stopped":
      return stage.error;
  }
}

const styles = StyleSheet.create({ app: { flex: 1, width: "100%", maxWidth: 480, alignSelf: "center", backgroundColor: color.paper } });
