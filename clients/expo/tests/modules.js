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
  class Player {
    listeners = new Set();
    constructor(source) {
      this.source = source;
    }
    play() {}
    pause() {}
    async replaceAsync(source) {
      this.source = source;
    }
    addListener(_, listener) {
      this.listeners.add(listener);
      return { remove: () => this.listeners.delete(listener) };
    }
  }
  /** Its event "error" is that of a player that cannot play its source. */
  function VideoView({ player }) {
    const [, drawAgain] = useState(0);
    const fail = () => {
      for (const listener of player.listeners) listener({ status: "error" });
      drawAgain((times) => times + 1);
    };
    return <View testID="film" accessibilityHint={player.source.uri ?? player.source} onError={fail} />;
  }
  return { useVideoPlayer: (source) => useState(() => new Player(source))[0], VideoView };
});

jest.mock("expo-image-picker", () => ({
  launchImageLibraryAsync: jest.fn(),
  getPendingResultAsync: jest.fn(async () => null),
}));

jest.mock("react-native-safe-area-context", () => require("react-native-safe-area-context/jest/mock").default);
