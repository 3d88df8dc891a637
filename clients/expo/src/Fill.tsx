import { Toggle } from "./look";
import type { Settings } from "./settings";

type Props = { settings: Settings; onSettings: (changed: Partial<Settings>) => void };

/** How a picture of another shape is to fit, where clips are converted. */
export function Fill({ settings: { fills }, onSettings }: Props) {
  return (
    <Toggle
      label="Fill the frame"
      note={fills ? "Cuts off what does not fit." : "Off: all of the picture shows, with bars."}
      value={fills}
      onChange={(on) => onSettings({ fills: on })}
    />
  );
}
