import AsyncStorage from "@react-native-async-storage/async-storage";

import type { Ticket, UploadRequest, Violation } from "./tiktoken";

/** An upload that is not finished: all that a restart of the app needs, besides the clip itself. */
export type Pending = {
  server: string;
  /** Its Idempotency-Key, so that a ticket whose answer got lost is not asked for twice. */
  key: string;
  request: UploadRequest;
  ticket?: Ticket;
  /** Whether storage has it: then all that is left is to follow it. */
  isSent?: boolean;
  /** Why it was rejected, while its owner may still have it converted. */
  refusal?: Refusal;
};

export type Refusal = { violations: Violation[]; isSent: boolean };

const NAME = "pending-upload";

export async function loadPending(): Promise<Pending | null> {
  const text = await AsyncStorage.getItem(NAME);
  try {
    return text ? (JSON.parse(text) as Pending) : null;
  } catch {
    return null; // what nobody can read is replaced by the next clip
  }
}

export async function savePending(pending: Pending): Promise<void> {
  await AsyncStorage.setItem(NAME, JSON.stringify(pending));
}

export async function forgetPending(): Promise<void> {
  await AsyncStorage.removeItem(NAME);
}
