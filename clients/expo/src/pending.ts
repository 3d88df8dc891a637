import AsyncStorage from "@react-native-async-storage/async-storage";

import type { Ticket, UploadRequest } from "./tiktoken";

/** An upload that is not finished: all that a restart of the app needs, besides the clip itself. */
export type Pending = {
  server: string;
  /** Its Idempotency-Key, so that a ticket whose answer got lost is not asked for twice. */
  key: string;
  request: UploadRequest;
  ticket?: Ticket;
};

const NAME = "pending-upload";

export async function loadPending(): Promise<Pending | null> {
  const text = await AsyncStorage.getItem(NAME);
  return text ? (JSON.parse(text) as Pending) : null;
}

export async function savePending(pending: Pending): Promise<void> {
  await AsyncStorage.setItem(NAME, JSON.stringify(pending));
}

export async function forgetPending(): Promise<void> {
  await AsyncStorage.removeItem(NAME);
}
