// A phone for the app under test: files, and the half of upload tasks that is native, on node.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";

import { File, Paths } from "expo-file-system";
import * as ImagePicker from "expo-image-picker";

type Options = {
  httpMethod: string;
  uploadType: number;
  headers?: Record<string, string>;
  fieldName?: string;
  parameters?: Record<string, string>;
};
type Result = { status: number; body: string; headers: Record<string, string> };
type NativeTask = { emit: (event: "progress", data: { bytesSent: number; totalBytes: number }) => void };
type Start = (this: NativeTask, url: string, file: File, options: Options) => Promise<Result>;

// Expo's own stand-in for its native module; it has files, but sends nothing.
const native = jest.requireActual("../node_modules/expo-file-system/mocks/FileSystem");
const task: { start: Start } = native.FileSystemUploadTask.prototype;

const MULTIPART = 1;

export const sent: Options[] = [];

/** Send the file as FileSystemUploadTask.kt and .swift do. */
export const sendNatively: Start = async (url, file, options) => {
  sent.push(options);
  const [body, extra] = options.uploadType === MULTIPART ? await formOf(file, options) : [await file.bytes(), {}];
  const headers = { ...options.headers, ...extra, "Content-Length": body.length };
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

/** createMultipartBody of FileSystemUploadTask.swift: tests/test_phone_senders.py has Android's, too. */
async function formOf(file: File, { fieldName = file.name, parameters = {} }: Options) {
  const boundary = randomUUID().toUpperCase();
  const part = (head: string) => `--${boundary}\r\nContent-Disposition: form-data; ${head}`;
  const fields = Object.entries(parameters).map(([name, value]) => part(`name="${name}"\r\n\r\n${value}\r\n`));
  const head = part(`name="${fieldName}"; filename="${file.name}"\r\nContent-Type: video/mp4\r\n\r\n`);
  const before = Buffer.from(fields.join("") + head);
  const body = Buffer.concat([before, await file.bytes(), Buffer.from(`\r\n--${boundary}--\r\n`)]);
  return [body, { "Content-Type": `multipart/form-data; boundary=${boundary}` }] as const;
}

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
  jest.mocked(ImagePicker.launchImageLibraryAsync).mockResolvedValue(resultOf(file, known));
}

/** The picker has chosen, but Android ended the app meanwhile. */
export function hasPicked(file: File): void {
  jest.mocked(ImagePicker.getPendingResultAsync).mockResolvedValueOnce(resultOf(file));
}

export function picksNothing(error: Error): void {
  jest.mocked(ImagePicker.launchImageLibraryAsync).mockRejectedValue(error);
}

function resultOf(file: File, known: Partial<ImagePicker.ImagePickerAsset> = {}): ImagePicker.ImagePickerSuccessResult {
  const asset = { uri: file.uri, type: "video", fileName: null, width: 0, height: 0, duration: 2000, ...known } as const;
  return { canceled: false, assets: [asset] };
}
