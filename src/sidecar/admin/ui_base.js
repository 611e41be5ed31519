export * from './vendor/preact.js';
export { useId } from './ui.js';
