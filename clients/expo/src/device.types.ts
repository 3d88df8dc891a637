import type { ImagePickerAsset } from "expo-image-picker";

import type { ClipFacts, Send } from "./tiktoken";

/** What a phone and a browser do each in their own way. */
export type Device = {
  /** Copy the clip to where a restart of the app finds it; its size in bytes. Replaces an earlier one. */
  keep(uri: string): Promise<number>;
  /** Where the kept clip is, or null if it is gone. */
  kept(): Promise<string | null>;
  discard(): Promise<void>;
  /** What `send` takes, made of a URI. */
  open(uri: string): Promise<unknown>;
  /** Sends a file to storage, as the ticket says; undefined where the client's own way will do. */
  send?: Send;
  /** What Expo's picker knows of a clip. */
  factsOf(asset: ImagePickerAsset): ClipFacts;
  canRecord: boolean;
  defaultServer(): string;
};
