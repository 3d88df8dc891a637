// The camera, as the service wants its clips.
import { act, fireEvent, render, screen, waitFor } from "@testing-library/react-native";

import { clipFromCamera, videoBitRate } from "../src/clip";
import { Record } from "../src/screens/Record";

const mockRecordings: object[] = [];
const mockViews: Record<string, unknown>[] = [];

jest.mock("expo-camera", () => {
  const { useImperativeHandle } = jest.requireActual("react");
  const granted = () => [{ granted: true }, jest.fn()];
  return {
    CameraView: ({ ref, ...props }: { ref: React.Ref<unknown> }) => {
      mockViews.push(props);
      useImperativeHandle(ref, () => ({
        recordAsync: async (options: object) => {
          mockRecordings.push(options);
          return { uri: "file:///mock/cache/Camera/1.mov" };
        },
      }));
      return null;
    },
    useCameraPermissions: granted,
    useMicrophonePermissions: granted,
  };
});

test("the camera is set to what the service takes", async () => {
  const onClip = jest.fn();
  render(<Record onClip={onClip} onCancel={() => {}} />);

  await act(async () => fireEvent.press(screen.getByLabelText("Record")));

  await waitFor(() => expect(onClip).toHaveBeenCalled());
  expect(mockRecordings).toEqual([{ maxDuration: 60, maxFileSize: 6_291_456, codec: "avc1" }]);
  expect(mockViews.at(-1)).toMatchObject({ mode: "video", videoQuality: "720p" });
  expect(onClip).toHaveBeenCalledWith({
    uri: "file:///mock/cache/Camera/1.mov",
    name: "recording.mov",
    contentType: "video/quicktime",
    facts: {},
  });
});

test.each([15, 30, 60])("picture and sound of %s s fit into 6 MiB, a tenth to spare", (lengthS) => {
  const bytes = ((videoBitRate(lengthS) + 128_000) * lengthS) / 8;

  expect(bytes).toBeLessThan(6_291_456 * 0.91);
  expect(bytes).toBeGreaterThan(6_291_456 * 0.85);
});

test("a recording of Android is an MP4", () => {
  expect(clipFromCamera("file:///data/cache/Camera/a.mp4")).toMatchObject({ contentType: "video/mp4" });
});
