import type { ImagePickerAsset } from "expo-image-picker";

import { device } from "./device";
import type { ClipFacts } from "./tiktoken";

export type Clip = {
  uri: string;
  name: string;
  contentType: string;
  facts: ClipFacts;
};

export const MAX_BYTES = 6 * 1024 * 1024;
export const LENGTHS_S = [15, 30, 60] as const;

const SOUND_BITS_PER_S = 128_000;
const MARGIN = 0.9; // encoders overshoot; the camera stops at MAX_BYTES all the same

/** The bit rate at which a recording of that length fits into MAX_BYTES, with its sound. */
export function videoBitRate(lengthS: number): number {
  return Math.floor(((MAX_BYTES * 8) / lengthS) * MARGIN - SOUND_BITS_PER_S);
}

export function clipFromPicker(asset: ImagePickerAsset): Clip {
  return {
    uri: asset.uri,
    name: asset.fileName ?? "clip.mp4",
    contentType: asset.mimeType ?? "", // `type` is "video", which is none; "" lets the service find out
    facts: device.factsOf(asset),
  };
}

/** What the camera has recorded: it writes a MOV on iOS, an MP4 on Android. */
export function clipFromCamera(uri: string): Clip {
  const isMov = uri.toLowerCase().endsWith(".mov");
  return {
    uri,
    name: isMov ? "recording.mov" : "recording.mp4",
    contentType: isMov ? "video/quicktime" : "video/mp4",
    facts: {}, // as the camera was told
  };
}
