import type { UploadTarget } from "../src/tiktoken";

// ── In docs/api.md ──
import { File, UploadType } from "expo-file-system";

/** A ticket for PUT, by an upload task: on iOS, it goes on while the app is suspended. */
export async function put({ url, headers }: UploadTarget, uri: string, onShare: (share: number) => void) {
  const onProgress = ({ bytesSent, totalBytes }: { bytesSent: number; totalBytes: number }) =>
    onShare(bytesSent / totalBytes);
  const task = new File(uri).createUploadTask(url, { httpMethod: "PUT", headers, onProgress });
  const { status } = await task.uploadAsync(); // 412: the file is there already, which is fine
  return status;
}

/** A ticket for POST, by the same. Without `fieldName`, the part has the file's name, and storage refuses it. */
export async function post({ url, fields }: UploadTarget, uri: string) {
  const options = { uploadType: UploadType.MULTIPART, fieldName: "file", parameters: fields };
  return (await new File(uri).createUploadTask(url, { httpMethod: "POST", ...options }).uploadAsync()).status;
}

/** A ticket for POST, by `fetch`: it takes a `File`, and no `{uri}`. */
export async function postByFetch({ url, fields = {} }: UploadTarget, uri: string) {
  const form = new FormData();
  Object.entries(fields).forEach(([name, value]) => form.append(name, value));
  form.append("file", new File(uri)); // last
  return (await fetch(url, { method: "POST", body: form })).status;
}
