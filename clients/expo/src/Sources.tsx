import * as ImagePicker from "expo-image-picker";
import { StyleSheet, View } from "react-native";

import { clipFromPicker, type Clip } from "./clip";
import { device } from "./device";
import { Button } from "./look";

type Props = { onRecord: () => void; onClip: (clip: Clip) => void; again?: boolean; quiet?: boolean };

/** The two ways to a clip. */
export function Sources({ onRecord, onClip, again, quiet = false }: Props) {
  const choose = async () => {
    const picked = await ImagePicker.launchImageLibraryAsync({ mediaTypes: ["videos"] });
    const asset = picked.assets?.[0];
    if (asset) onClip(clipFromPicker(asset));
  };
  return (
    <View style={styles.sources}>
      {device.canRecord && <Button label={again ? "Record it again" : "Record a clip"} quiet={quiet} onPress={onRecord} />}
      <Button label={again ? "Choose another clip" : "Choose a clip"} quiet={quiet || device.canRecord} onPress={() => void choose()} />
    </View>
  );
}

const styles = StyleSheet.create({ sources: { gap: 12 } });
