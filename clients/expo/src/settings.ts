import AsyncStorage from "@react-native-async-storage/async-storage";

import { device } from "./device";

const NAME = "server";

/** The API's URL: what was typed into the app, or EXPO_PUBLIC_API_URL, or this computer. */
export async function loadServer(): Promise<string> {
  return (await AsyncStorage.getItem(NAME)) ?? process.env.EXPO_PUBLIC_API_URL ?? device.defaultServer();
}

export async function saveServer(server: string): Promise<void> {
  await AsyncStorage.setItem(NAME, server);
}

/** `192.168.1.5:8000` is what people type. */
export function toUrl(typed: string): string {
  const text = typed.trim().replace(/\/+$/, "");
  return /^https?:\/\//.test(text) ? text : `http://${text}`;
}
