export * from './ui.js';
