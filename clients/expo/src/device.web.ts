import type { Device } from "./device.types";
import { preflightFromAsset } from "./tiktoken";

// There are caches on https and on localhost only: elsewhere, a reload loses the clip.
const KEPT = "/pending-clip";
const cache = () => globalThis.caches?.open("tiktoken");
let uri: string | null = null;
const read = async (from: string) => (await fetch(from)).blob();

export const device: Device = {
  async keep(picked) {
    uri = picked;
    const clip = await read(picked);
    await (await cache())?.put(KEPT, new Response(clip));
    return clip.size;
  },

  async kept() {
    const found = uri ? null : await (await cache())?.match(KEPT);
    if (found) uri = URL.createObjectURL(await found.blob());
    return uri;
  },

  async discard() {
    uri = null;
    await (await cache())?.delete(KEPT);
  },

  open: read,

  // In a browser, Expo's picker tells seconds, and the sides as they are shown.
  factsOf: ({ duration, ...asset }) =>
    preflightFromAsset({ ...asset, rotation: 0, duration: Number.isFinite(duration) ? duration! * 1000 : null }),

  canRecord: false, // expo-camera records on phones only

  defaultServer: () => `http://${location.hostname}:8000`,
};

