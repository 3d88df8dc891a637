import * as ImagePicker from "expo-image-picker";
import { useEffect, useState } from "react";
import { StyleSheet, View } from "react-native";

import { clipFromPicker, type Clip } from "./clip";
import { device } from "./device";
import { Button, Soft } from "./look";

type Props = { onRecord: () => void; onClip: (clip: Clip) => void; again?: boolean; quiet?: boolean };

/** The two ways to a clip. */
export function Sources({ onRecord, onClip, again, quiet = false }: Props) {
  const [problem, setProblem] = useState("");

  // Android may end the app while its picker is open: the choice waits for the next start.
  useEffect(() => {
    void ImagePicker.getPendingResultAsync()
      .then((waiting) => {
        if (waiting && "assets" in waiting && waiting.assets?.[0]) onClip(clipFromPicker(waiting.assets[0]));
      })
      .catch(() => {});
  }, []);

  const choose = async () => {
    setProblem("");
    try {
      const picked = await ImagePicker.launchImageLibraryAsync({ mediaTypes: ["videos"] });
      const asset = picked.assets?.[0];
      if (asset) onClip(clipFromPicker(asset));
    } catch {
      setProblem("The clip could not be opened. If it is in the cloud alone, it has to be downloaded first.");
    }
  };
  return (
    <View style={styles.sources}>
      {device.canRecord && <Button label={again ? "Record it again" : "Record a clip"} quiet={quiet} onPress={onRecord} />}
      <Button label={again ? "Choose another clip" : "Choose a clip"} quiet={quiet || device.canRecord} onPress={() => void choose()} />
      {problem !== "" && <Soft isNews>{problem}</Soft>}
    </View>
  );
}

const styles = StyleSheet.create({ sources: { gap: 12 } });
