export * from './errors.js';
export * from './model.js';
export * from './shapes.js';
