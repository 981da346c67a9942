/** Networks and image sizes that every engine is compared on beside random ones: large enough for tiles and their ends. */
export const awkwardShapes: readonly [architecture: string, height: number, width: number][] = [
  ['32C3-64C3-MP2-33C3-16FC-5FC', 32, 32],
  ['16C3-40C3-MP2-24C3-MP2-64C3-20FC-5FC', 16, 16],
  ['17C3-16C3-MP2-8FC-5FC', 8, 8],
  ['12C3-12C3-MP2-8FC-5FC', 9, 70],
  ['5C3-11C7-MP3-6C5S2V-8FC-5FC', 29, 31],
  ['5C7S2-34C7-MP2-5FC', 14, 15],
  ['40C1-50C1-60C2-MP2-5FC', 6, 33],
  ['64C3-64C3-MP4-128C3-10FC-5FC', 20, 20],
  ['7C3-23C3-MP2-12C3-MP2-9C3-MP2-5FC', 27, 30],
  // Rows of one and two vectors, and kernels with and without a column in the middle.
  ['6C3-31C3-MP2-26C5V-5FC', 24, 40],
  ['9C1-40C3S2-12C7-12C4V-5FC', 14, 63],
  ['130FC-40FC-5FC', 12, 12],
  ['5FC', 7, 5],
];
