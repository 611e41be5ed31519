/*
 * Takes out of a style sheet what the pages cannot use: rules for classes, elements and kinds
 * of input that occur in none of our files, animations and variables that nothing names.  A
 * selector is dropped only if a word of it is nowhere; alternatives in :is() stay as long as one
 * of them can be used.
 */
'use strict';

// Top-level parts of css: {head, body} of a rule or block, {head} of a statement.
function parts(css) {
	const found = [];
	let depth = 0;
	let start = 0;
	let open = 0;

	for (const { 0: token, index } of css.matchAll(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\([^()"']*\)|\/\*[^]*?\*\/|[{};]/g)) {
		if (token === '{' && depth++ === 0) open = index;
		else if (token === '}' && --depth === 0) {
			found.push({ head: css.slice(start, open).trim(), body: css.slice(open + 1, index) });
			start = index + 1;
		} else if (depth === 0 && (token === ';' || token.startsWith('/*'))) {
			if (token === ';') found.push({ head: css.slice(start, index).trim() });
			else if (token.startsWith('/*!')) found.push({ head: token });
			start = index + token.length;
		}
	}
	return found;
}

// Splits at separators that are outside of parentheses and strings.
const split = (text, separator) => (text.match(/(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\)|[^"'()])/g) || [])
	.reduce((list, token) => (token === separator ? [...list, ''] : [...list.slice(0, -1), list[list.length - 1] + token]), ['']);

function usable(selector, words) {
	// A page is no host of a shadow tree.
	if (/^:host|^:where\(:host\)/.test(selector)) return false;
	for (const { 1: list } of selector.matchAll(/(?<!:not):(?:is|where)\(((?:[^()]|\([^()]*\))*)\)/g)) {
		if (!split(list, ',').some((one) => usable(one, words))) return false;
	}
	let plain = selector;
	for (let before = ''; before !== plain;) {
		before = plain;
		plain = plain.replace(/\([^()]*\)/g, '');
	}
	for (const { 1: name, 2: value } of plain.matchAll(/\[(type|role)=["']?([\w-]+)/g)) {
		if (!words.has(`${name}=${value}`)) return false;
	}
	const named = [...plain.matchAll(/[.#]([\w-]+)|\[([\w-]+)(?:[~|^$*]?=["']?([\w-]+))?/g)].flatMap((match) => match.slice(1));
	const elements = [...plain.replace(/\[[^\]]*\]/g, '').matchAll(/(?<![\w.#:-])[a-z][\w-]*/g)].map((match) => match[0]);
	return named.every((word) => !word || words.has(word)) && elements.every((word) => words.has(`<${word}`));
}

function filter(css, words) {
	return parts(css).map(({ head, body }) => {
		if (body === undefined) return head.startsWith('@charset') ? '' : head.startsWith('/*') ? head : `${head};`;
		if (/^@(media|supports|layer)/.test(head)) {
			const inner = filter(body, words);
			return inner && `${head}{${inner}}`;
		}
		const kept = head.startsWith('@') ? head : split(head, ',').filter((selector) => usable(selector, words)).join(',');
		return kept && body && `${kept}{${body}}`;
	}).join('');
}

// ours: other style sheets, which name variables and animations, too.
module.exports = function trim(css, content, ours) {
	const words = new Set([...content.match(/[\w-]+/g), ...content.match(/\w+/g), '<html', '<body']);

	for (const { 1: name } of content.matchAll(/[<'"](\w+)/g)) words.add(`<${name}`);
	// type="number", and {type: 'number'} or type=${x ? 'number' : 'text'} as well
	// (and role="switch" behind type="checkbox")
	for (const { 1: name, 2: line } of content.matchAll(/\b(type|role)\b['"]?\s*[=:](?=([^\n]{0,80}))/g)) {
		for (const word of line.match(/[\w-]+/g)) words.add(`${name}=${word}`);
	}
	let kept = filter(css, words);
	for (let before = ''; before !== kept;) {
		before = kept;
		const all = kept + ours;
		kept = kept.replace(/(?<=[{;])(--[\w-]+):((?:"[^"]*"|'[^']*'|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|[^;{}"'()])*);?/g, (whole, name) => (all.includes(`var(${name}`) ? whole : ''))
			.replace(/@keyframes ([\w-]+)\{(?:[^{}]|\{[^{}]*\})*\}/g, (whole, name) => (new RegExp(`animation[^;}]*${name}`).test(all.replace(whole, '')) ? whole : ''))
			.replace(/[^{}]+\{\}/g, '');
	}
	return kept;
};
