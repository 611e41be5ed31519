// preact's hooks, and one that its small build has not.
import { useState } from './vendor/preact.js';

export * from './vendor/preact.js';

let ids = 0;
export const useId = () => useState(() => `i${++ids}`)[0];
