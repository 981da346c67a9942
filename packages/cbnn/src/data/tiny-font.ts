/** Capital letters, digits and a few signs of 3x5 pixels, for labels on contact sheets. */

export const GLYPH_WIDTH = 3;
export const GLYPH_HEIGHT = 5;

/** Rows from the top, three bits each (4 = left), as octal digits. */
const GLYPHS: Readonly<Record<string, string>> = {
  '0': '25552',
  '1': '26227',
  '2': '61247',
  '3': '61216',
  '4': '55711',
  '5': '74616',
  '6': '34652',
  '7': '71244',
  '8': '25252',
  '9': '25316',
  A: '25755',
  B: '65656',
  C: '34443',
  D: '65556',
  E: '74647',
  F: '74644',
  G: '34553',
  H: '55755',
  I: '72227',
  J: '11152',
  K: '55655',
  L: '44447',
  M: '57755',
  N: '65555',
  O: '25552',
  P: '65644',
  Q: '25573',
  R: '65655',
  S: '34216',
  T: '72222',
  U: '55557',
  V: '55552',
  W: '55775',
  X: '55255',
  Y: '55222',
  Z: '71247',
  '-': '00700',
  '.': '00002',
  '/': '11244',
  '(': '12221',
  ')': '42224',
};
const UNKNOWN = '75557';

/** Calls `dot` for every dark pixel of a line of text; a character is 4 pixels wide. Capitals and small letters look alike. */
export function writeText(text: string, dot: (x: number, y: number) => void): void {
  for (const [position, character] of [...text.toUpperCase()].entries()) {
    if (character === ' ') continue;
    const rows = GLYPHS[character] ?? UNKNOWN;
    for (let y = 0; y < GLYPH_HEIGHT; y++)
      for (let x = 0; x < GLYPH_WIDTH; x++)
        if (Number(rows[y]) & (4 >> x)) dot(position * (GLYPH_WIDTH + 1) + x, y);
  }
}
