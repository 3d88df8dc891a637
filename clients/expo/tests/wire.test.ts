// What Expo's own published code makes of a form, sent to the running server.
import { convertFormDataAsync } from "expo/src/winter/fetch/convertFormData";

import { TikToken, type Ticket } from "../src/tiktoken";
import { inCache } from "./phone";

const { SERVER = "", GOOD_CLIP } = process.env;
const api = new TikToken(SERVER, { fetch: fetchOfNode });
const request = { filename: "a.mp4", content_type: "video/mp4", size: 1 };

/** React Native's form: Expo's code reads the parts off it. */
function formOf(ticket: Ticket, file: unknown) {
  const parts: [string, unknown][] = [...Object.entries(ticket.upload.fields ?? {}), ["file", file]];
  return { entries: () => parts.values() } as unknown as FormData;
}

test("a form with a File of expo-file-system, sent by Expo's fetch, is stored", async () => {
  const ticket = await api.requestUpload(request);

  const { body, boundary } = await convertFormDataAsync(formOf(ticket, inCache(GOOD_CLIP, "fête.mp4")));
  const headers = { "Content-Type": `multipart/form-data; boundary=${boundary}` };
  const answer = await fetchOfNode(ticket.upload.url, { method: "POST", headers, body: body as BodyInit });

  expect(answer.status).toBe(204);
  expect((await api.follow(ticket.id)).state).toBe("completed");
});

test("Expo's fetch takes no part that is a URI", async () => {
  const ticket = await api.requestUpload(request);
  const part = { uri: inCache(GOOD_CLIP).uri, name: "clip.mp4", type: "video/mp4" };

  await expect(convertFormDataAsync(formOf(ticket, part))).rejects.toThrow("Unsupported FormDataPart");
});
