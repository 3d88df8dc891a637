// A phone for the app under test: files, and the half of upload tasks that is native, on node.
import { readFileSync } from "node:fs";
import { request } from "node:http";

import { File, Paths } from "expo-file-system";
import * as ImagePicker from "expo-image-picker";

type Options = { httpMethod: string; uploadType: number; headers?: Record<string, string> };
type Result = { status: number; body: string; headers: Record<string, string> };
type NativeTask = { emit: (event: "progress", data: { bytesSent: number; totalBytes: number }) => void };
type Start = (this: NativeTask, url: string, file: File, options: Options) => Promise<Result>;

// Expo's own stand-in for its native module; it has files, but sends nothing.
const native = jest.requireActual("../node_modules/expo-file-system/mocks/FileSystem");
const task: { start: Start } = native.FileSystemUploadTask.prototype;

export const sent: Options[] = [];

/** Send the file as FileSystemUploadTask.kt and .swift do. */
export const sendNatively: Start = async (url, file, options) => {
  sent.push(options);
  const body = await file.bytes();
  const headers = { ...options.headers, "Content-Length": body.length };
  return new Promise((resolve, reject) => {
    const sending = request(url, { method: options.httpMethod, headers, agent: false }, (answer) => {
      answer.setEncoding("utf8");
      let text = "";
      answer.on("data", (part: string) => (text += part));
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: text, headers: {} }));
    });
    sending.on("error", reject);
    sending.end(body);
  });
};

export function sendBy(start: Start): void {
  task.start = start;
}

export const never: Start = () => new Promise(() => {});

/** A clip of this computer's in the phone's cache, where pickers and cameras put theirs. */
export function inCache(path: string | undefined, name = "picked.mp4"): File {
  const file = new File(Paths.cache, name);
  if (file.exists) file.delete();
  file.create();
  file.write(new Uint8Array(readFileSync(path ?? missing())));
  return file;
}

function missing(): never {
  throw new Error("make test-expo starts a server, makes clips, and names them in the environment.");
}

/** What the picker answers: with what Expo's leaves out, unless a test knows better. */
export function picks(file: File, known: Partial<ImagePicker.ImagePickerAsset> = {}): void {
  const asset = { uri: file.uri, type: "video", fileName: null, width: 0, height: 0, duration: 2000, ...known } as const;
  jest.mocked(ImagePicker.launchImageLibraryAsync).mockResolvedValue({ canceled: false, assets: [asset] });
}
