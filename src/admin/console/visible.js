// Text with every character shown: keys are other people's text, and an override (U+202E) would show what follows in another order.

// Controls, format characters, separators of lines, and others that draw nothing, as the command line has it (src/cli/output.rs).
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

const units = (character) => Array.from({ length: character.length }, (_, place) => character.charCodeAt(place));

const escaped = (character) =>
  units(character)
    .map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`)
    .join("");

/** The same text with an escape, as JSON has it, for each character that is not shown or changes how others are. */
export const visible = (text) => text.replace(HIDDEN, escaped);

/** The same for text of several lines. */
export const visibleLines = (text) => text.split("\n").map(visible).join("\n");
