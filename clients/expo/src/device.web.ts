import type { Device } from "./device.types";
import { preflightFromAsset } from "./tiktoken";

// There are caches on https and on localhost only, and not in every private window: elsewhere, or if there is no room
// in them, a reload loses the clip.
const KEPT = "/pending-clip";
const cache = async () => globalThis.caches?.open("tiktoken").catch(() => undefined);
let uri: string | null = null;
const read = async (from: string) => (await fetch(from)).blob();

export const device: Device = {
  async keep(picked) {
    const clip = await read(picked); // its bytes: the file may go while they are sent
    uri = URL.createObjectURL(clip);
    await (await cache())?.put(KEPT, new Response(clip)).catch(() => {});
    return clip.size;
  },

  async kept() {
    const found = uri ? null : await (await cache())?.match(KEPT);
    if (found) uri = URL.createObjectURL(await found.blob());
    return uri;
  },

  async discard() {
    if (uri) URL.revokeObjectURL(uri);
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

