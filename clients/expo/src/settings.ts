import AsyncStorage from "@react-native-async-storage/async-storage";

import { device } from "./device";

export type Settings = {
  /** The API's URL: what was typed into the app, or EXPO_PUBLIC_API_URL, or this computer. */
  server: string;
  /** Whether the service converts clips that break its rules. */
  converts: boolean;
  /** How it fits a picture of another shape: by cutting off its edges, not with bars. */
  fills: boolean;
};

export async function loadSettings(): Promise<Settings> {
  const [server, converts, fills] = await Promise.all(["server", "convert", "fill"].map((name) => AsyncStorage.getItem(name)));
  return {
    server: server ?? defaultServer(),
    converts: converts === "yes",
    fills: fills === "yes",
  };
}

/** Keep what its user has changed, and nothing else: the rest may have other defaults one day. */
export async function saveSettings({ server, converts, fills }: Partial<Settings>): Promise<void> {
  if (server === defaultServer()) await AsyncStorage.removeItem("server");
  else if (server !== undefined) await AsyncStorage.setItem("server", server);
  if (converts !== undefined) await AsyncStorage.setItem("convert", converts ? "yes" : "no");
  if (fills !== undefined) await AsyncStorage.setItem("fill", fills ? "yes" : "no");
}

export const defaultServer = () => process.env.EXPO_PUBLIC_API_URL ?? device.defaultServer();

/** An address as it was typed; nothing stands for the default. `192.168.1.5:8000` is what people type. */
export function toUrl(typed: string): string {
  const text = typed.trim().replace(/\/+$/, "");
  if (!text) return defaultServer();
  return /^https?:\/\//i.test(text) ? text : `http://${text}`;
}
