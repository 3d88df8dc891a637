// Stand-ins for what jest-expo has none for.
jest.mock("@react-native-async-storage/async-storage", () =>
  require("@react-native-async-storage/async-storage/jest/async-storage-mock"),
);

jest.mock("expo-crypto", () => ({ getRandomBytes: (count) => require("node:crypto").randomBytes(count) }));

jest.mock("expo-image", () => {
  const { View } = require("react-native");
  return { Image: ({ placeholder, ...props }) => <View testID={placeholder?.blurhash} {...props} /> };
});

jest.mock("expo-video", () => {
  const { View } = require("react-native");
  const { useState } = require("react");
  return {
    useVideoPlayer: (source) => useState({ source, play() {}, pause() {} })[0],
    VideoView: ({ player: { source } }) => <View testID="film" accessibilityHint={source.uri ?? source} />,
  };
});

jest.mock("expo-image-picker", () => ({
  launchImageLibraryAsync: jest.fn(),
  getPendingResultAsync: jest.fn(async () => null),
}));

jest.mock("react-native-safe-area-context", () => require("react-native-safe-area-context/jest/mock").default);
