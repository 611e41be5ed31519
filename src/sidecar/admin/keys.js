// Keys of a page: they count while nobody types, and ? lists them.
import { useEffect, useRef } from './vendor/preact.js';

const sets = [];

const isTyping = (target) => target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
	(target.tagName === 'INPUT' && !/^(checkbox|radio|button|submit|reset)$/.test(target.type));

document.addEventListener('keydown', (event) => {
	if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
	if (isTyping(event.target) || document.querySelector('dialog[open]')) return;
	// what is there to be pressed keeps its own keys
	if (/^(Enter| )$/.test(event.key) && event.target.closest('a, button, summary, input, select')) return;
	for (let i = sets.length - 1; i >= 0; i--) {
		const act = sets[i].keys[event.key];
		if (act) {
			event.preventDefault();
			act(event);
			return;
		}
	}
});

// keys: {'/': function}; help: {'/': 'Search'}
export function useKeys(keys, help = {}) {
	const set = useRef({});
	Object.assign(set.current, { keys, help });
	useEffect(() => {
		const mine = set.current;
		sets.push(mine);
		return () => sets.splice(sets.indexOf(mine), 1);
	}, []);
}
export const keysNow = () => Object.entries(Object.assign({}, ...sets.map((set) => set.help)));
