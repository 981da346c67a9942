/**
 * The geometry of the generated signs as signed distance functions: negative inside, positive outside, in units of the
 * sign's radius, x to the right and y downwards. Unions are minima, insets are sums; a soft threshold at 0 draws an
 * anti-aliased edge. Polygons are maxima of half planes: exact but beyond their corners, where nothing is drawn.
 * Source of the idea: Inigo Quilez, "2D distance functions".
 */

/** Signed distance of the point (x, y). */
export type Distance = (x: number, y: number) => number;

/** A disc of `radius` around (`cx`, `cy`). */
export const disc =
  (radius: number, cx = 0, cy = 0): Distance =>
  (x, y) =>
    Math.sqrt((x - cx) * (x - cx) + (y - cy) * (y - cy)) - radius;

/** A regular polygon by its circumscribed radius; at angle 0 a side is at the bottom. */
export function polygon(sides: number, radius: number, angle = 0, cy = 0): Distance {
  const apothem = radius * Math.cos(Math.PI / sides);
  const nx = Float64Array.from({ length: sides }, (_, i) => Math.sin(angle + (2 * Math.PI * i) / sides));
  const ny = Float64Array.from({ length: sides }, (_, i) => Math.cos(angle + (2 * Math.PI * i) / sides));
  return (x, y) => {
    let distance = -Infinity;
    for (let i = 0; i < sides; i++) distance = Math.max(distance, nx[i]! * x + ny[i]! * (y - cy));
    return distance - apothem;
  };
}

/** A line from (`ax`, `ay`) to (`bx`, `by`) with round ends, `width` thick. */
export function stroke(ax: number, ay: number, bx: number, by: number, width: number): Distance {
  const dx = bx - ax;
  const dy = by - ay;
  const length2 = dx * dx + dy * dy;
  return (x, y) => {
    const along = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length2));
    const ex = x - ax - along * dx;
    const ey = y - ay - along * dy;
    return Math.sqrt(ex * ex + ey * ey) - width / 2;
  };
}

/** A rectangle of `width` x `height` around the origin. */
export const rectangle =
  (width: number, height: number): Distance =>
  (x, y) =>
    Math.max(Math.abs(x) - width / 2, Math.abs(y) - height / 2);

export const union =
  (...parts: readonly Distance[]): Distance =>
  (x, y) => {
    let distance = Infinity;
    for (const part of parts) distance = Math.min(distance, part(x, y));
    return distance;
  };

/** Moved down by `dy` and scaled by `scale`. */
const placed =
  (shape: Distance, scale: number, dy: number): Distance =>
  (x, y) =>
    shape(x / scale, (y - dy) / scale) * scale;

const arrow = (dx: number, dy: number): Distance =>
  union(
    stroke(-0.5 * dx, -0.5 * dy, 0.5 * dx, 0.5 * dy, 0.24),
    stroke(0.55 * dx, 0.55 * dy, 0.05 * dx - 0.45 * dy, 0.05 * dy + 0.45 * dx, 0.24),
    stroke(0.55 * dx, 0.55 * dy, 0.05 * dx + 0.45 * dy, 0.05 * dy - 0.45 * dx, 0.24),
  );

const bar = rectangle(1.15, 0.36);
const cross = union(stroke(-0.42, -0.42, 0.42, 0.42, 0.25), stroke(-0.42, 0.42, 0.42, -0.42, 0.25));
const plus = union(rectangle(1, 0.34), rectangle(0.34, 1));
const pause = union(stroke(-0.28, -0.35, -0.28, 0.35, 0.3), stroke(0.28, -0.35, 0.28, 0.35, 0.3));
const exclamation = union(stroke(0, -0.5, 0, 0.1, 0.26), disc(0.16, 0, 0.5));
const lights = union(disc(0.2, 0, -0.5), disc(0.2), disc(0.2, 0, 0.5));

const circle = disc(1);
const triangleUp = polygon(3, 1.42, 0, 0.22);
const triangleDown = polygon(3, 1.42, Math.PI, -0.22);
const octagon = polygon(8, 1.06);
const square = polygon(4, 1.25);
const diamond = polygon(4, 1.15, Math.PI / 4);

/** A kind of sign: outline and what is drawn in it. */
export interface SignDesign {
  readonly name: string;
  readonly outline: Distance;
  /** null: nothing */
  readonly pictogram: Distance | null;
}

/**
 * The twelve classes. Most outlines carry several pictograms and some pictograms occur in several outlines, so that
 * neither alone tells the class; the two turns are mirror images of each other. An octagon is hardly told from a circle
 * in 32 pixels, so its pictogram is its own.
 */
export const SIGN_DESIGNS: readonly SignDesign[] = [
  { name: 'turn left', outline: circle, pictogram: placed(arrow(-1, 0), 0.85, 0) },
  { name: 'turn right', outline: circle, pictogram: placed(arrow(1, 0), 0.85, 0) },
  { name: 'no entry', outline: circle, pictogram: bar },
  { name: 'no stopping', outline: circle, pictogram: cross },
  { name: 'caution', outline: triangleUp, pictogram: placed(exclamation, 0.85, 0.22) },
  { name: 'crossing', outline: triangleUp, pictogram: placed(cross, 0.85, 0.32) },
  { name: 'signals', outline: triangleUp, pictogram: placed(lights, 0.85, 0.22) },
  { name: 'yield', outline: triangleDown, pictogram: null },
  { name: 'stop', outline: octagon, pictogram: pause },
  { name: 'priority', outline: diamond, pictogram: null },
  { name: 'ahead', outline: square, pictogram: placed(arrow(0, -1), 0.85, 0) },
  { name: 'first aid', outline: square, pictogram: plus },
];
