import Constants from "expo-constants";
import { File, Paths } from "expo-file-system";

import type { Device } from "./device.types";
import { preflightFromAsset } from "./tiktoken";

// By its name: on iOS, the path to the documents changes when the app is updated.
const keptFile = () => new File(Paths.document, "pending-clip");

export const device: Device = {
  async keep(uri) {
    await device.discard();
    await new File(uri).copy(keptFile());
    return keptFile().size;
  },

  async kept() {
    return keptFile().exists ? keptFile().uri : null;
  },

  async discard() {
    if (keptFile().exists) keptFile().delete();
  },

  open: async (uri) => uri,

  // The file's bytes as they are, by PUT. On iOS, the transfer goes on while the app is suspended.
  async send({ url, headers }, uri: string, { onProgress, signal }) {
    const task = new File(uri).createUploadTask(url, {
      httpMethod: "PUT",
      headers,
      signal,
      onProgress: ({ bytesSent, totalBytes }) => onProgress?.(totalBytes > 0 ? bytesSent / totalBytes : 0),
    });
    const { status, body } = await task.uploadAsync();
    return { status, body };
  },

  factsOf: preflightFromAsset,

  canRecord: true,

  /** The computer that the app was loaded from, while it is developed. */
  defaultServer() {
    const [host = "localhost"] = (Constants.expoConfig?.hostUri ?? "localhost").split(":");
    return `http://${host}:8000`;
  },
};
