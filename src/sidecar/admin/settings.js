// The inputs of a shop's settings, one for each kind that the API knows; a kind that is not
// known here is JSON.
import { html, useState } from './vendor/preact.js';
import { Field, Copy } from './ui.js';
import { duration, percent } from './format.js';

const UNITS = [['days', 86400], ['hours', 3600], ['minutes', 60], ['seconds', 1]];

// "1 day 02:00:00" in seconds; null: it has months, or is nothing of that kind
function seconds(span) {
	const found = /^(?:(\d+) days?)?(?:(?:^| )(\d+):(\d\d):(\d\d))?$/.exec(span || '-');
	return found ? (found[1] || 0) * 86400 + (found[2] || 0) * 3600 + (found[3] || 0) * 60 + Number(found[4] || 0) : null;
}
const known = (name) => (Intl.supportedValuesOf ? Intl.supportedValuesOf(name) : []);
const lines = (text) => text.split('\n').map((one) => one.trim()).filter(Boolean);
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// The value as people read it.
export function shown({ kind }, value) {
	if (value === null || value === undefined || same(value, []) || same(value, {})) return '';
	if (kind === 'span') return seconds(value) === null ? value : duration(seconds(value));
	if (kind === 'share') return percent(value, value * 100 % 1 ? 1 : 0);
	if (kind === 'time') return value.slice(0, 5);
	return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function Span({ ids, value, onChange }) {
	const total = seconds(value);
	const [unit, setUnit] = useState(() => (UNITS.find(([, size]) => total && total % size === 0) || UNITS[1])[0]);
	const size = UNITS.find(([name]) => name === unit)[1];
	if (value !== null && total === null) return html`<input type="text" ...${ids} value=${value} onInput=${(event) => onChange(event.target.value || null)} />`;
	const put = (n, name) => onChange(n === '' ? null : `${n} ${name}`);
	const n = total === null ? '' : Math.round((total / size) * 1000) / 1000;
	return html`<div class="span"><input type="number" min="0" step="any" inputmode="decimal" ...${ids} value=${n} onInput=${(event) => put(event.target.value, unit)} />
		<select aria-label="Unit" value=${unit} onChange=${(event) => { setUnit(event.target.value); if (n !== '') put(n, event.target.value); }}>
			${UNITS.map(([name]) => html`<option key=${name} value=${name} selected=${name === unit}>${name}</option>`)}</select></div>`;
}

// "90 minutes", as it is typed, is one of the spans that seconds() reads
const normal = (text) => {
	const found = /^([\d.]+) (days|hours|minutes|seconds)$/.exec(text || '');
	if (!found) return text;
	const total = Math.round(found[1] * UNITS.find(([name]) => name === found[2])[1]);
	const pad = (n) => String(n).padStart(2, '0');
	const days = Math.floor(total / 86400);
	const rest = total % 86400;
	const clock = `${pad(Math.floor(rest / 3600))}:${pad(Math.floor(rest / 60) % 60)}:${pad(rest % 60)}`;
	return [days && `${days} day${days === 1 ? '' : 's'}`, (rest || !days) && clock].filter(Boolean).join(' ');
};

function Lines({ ids, value, onChange, rows = 3, ...rest }) {
	const [text, set] = useState((value || []).join('\n'));
	// what was typed stays as it was typed; what comes from elsewhere counts
	const now = same(lines(text), value || []) ? text : (value || []).join('\n');
	return html`<textarea rows=${rows} spellcheck=${false} ...${ids} ...${rest} value=${now} onInput=${(event) => { set(event.target.value); onChange(lines(event.target.value)); }} />`;
}

function Json({ ids, value, onChange }) {
	const write = (one) => (one === null || same(one, {}) ? '' : JSON.stringify(one, null, 2));
	const [text, set] = useState(write(value));
	const [wrong, setWrong] = useState(false);
	const put = (typed) => {
		set(typed);
		try {
			onChange(typed.trim() === '' ? null : JSON.parse(typed));
			setWrong(false);
		} catch {
			setWrong(true);
			onChange(typed, true);
		}
	};
	return html`<textarea rows="4" class="code" spellcheck=${false} placeholder="{}" ...${ids} aria-invalid=${wrong ? 'true' : ids['aria-invalid']} value=${text} onInput=${(event) => put(event.target.value)} />
		${wrong && html`<small class="problem">This is not JSON yet.</small>`}`;
}

// An object whose keys are known: one input for each; an empty one is no key.
function Parts({ parts, value, onChange }) {
	const put = (name, one) => {
		const next = { ...value };
		if (one === '' || one === null || one === false || same(one, [])) delete next[name];
		else next[name] = one;
		onChange(next);
	};
	return html`<div class="parts">${parts.map(({ name, kind, meaning }) => kind === 'switch'
		? html`<label key=${name} class="switch"><input type="checkbox" role="switch" checked=${Boolean(value && value[name])} onChange=${(event) => put(name, event.target.checked)} /> ${meaning}</label>`
		: html`<${Field} key=${name} label=${meaning}>${(ids) => kind === 'list'
			? html`<${Lines} ids=${ids} rows="2" placeholder="one a line" value=${(value && value[name]) || []} onChange=${(one) => put(name, one)} />`
			: html`<input type="number" min="0" step="any" ...${ids} value=${value && value[name] !== undefined ? value[name] : ''} onInput=${(event) => put(name, event.target.value === '' ? '' : Number(event.target.value))} />`}<//>`)}</div>`;
}

const TYPES = { url: 'url', email: 'email', currency: 'text', zone: 'text', text: 'text', locale: 'text', function: 'text' };
const HOLDERS = { url: 'https://', email: 'orders@shop.example', function: 'schema.function', locale: 'en, de-AT' };

// ids: of Field; value: as the API has it; onChange(value, wrong)
export function Control({ setting, ids, value, onChange }) {
	const { kind, setting: name } = setting;
	const text = (event) => onChange(event.target.value === '' ? null : event.target.value);
	switch (kind) {
		case 'span':
			return html`<${Span} ids=${ids} value=${value} onChange=${(one) => onChange(normal(one))} />`;
		case 'time':
			return html`<input type="time" ...${ids} value=${value ? value.slice(0, 5) : ''} onInput=${(event) => onChange(event.target.value ? event.target.value + ':00' : null)} />`;
		case 'integer':
		case 'number':
			return html`<input type="number" min="0" step=${kind === 'integer' ? 1 : 'any'} ...${ids} value=${value === null ? '' : value} onInput=${(event) => onChange(event.target.value === '' ? null : Number(event.target.value))} />`;
		case 'share':
			return html`<div class="span"><input type="number" min="0" max="100" step="any" ...${ids} value=${value === null ? '' : Math.round(value * 1e6) / 1e4}
				onInput=${(event) => onChange(event.target.value === '' ? null : Math.round(event.target.value * 1e4) / 1e6)} /><span>%</span></div>`;
		case 'choice':
			return html`<select ...${ids} value=${value} onChange=${text}>${setting.choices.map((one) => html`<option key=${one} value=${one} selected=${one === value}>${one}</option>`)}</select>`;
		case 'boolean':
			return html`<input type="checkbox" role="switch" ...${ids} checked=${value} onChange=${(event) => onChange(event.target.checked)} />`;
		case 'list':
			return html`<${Lines} ids=${ids} value=${value} placeholder="one a line" onChange=${onChange} />`;
		case 'lines':
			return html`<textarea rows="3" ...${ids} value=${value || ''} onInput=${text} />`;
		case 'colour':
			return html`<div class="span"><input type="text" placeholder="#1a7f37" spellcheck=${false} ...${ids} value=${value || ''} onInput=${text} />
				<input type="color" aria-label="Pick a colour" value=${/^#[0-9a-f]{6}$/i.test(value || '') ? value : '#0069a6'} onInput=${text} /></div>`;
		case 'object':
			return setting.parts.length ? html`<${Parts} parts=${setting.parts} value=${value} onChange=${onChange} />` : html`<${Json} ids=${ids} value=${value} onChange=${onChange} />`;
		case 'key':
			return value ? html`<div class="key"><code id=${ids.id}>${value}</code><${Copy} text=${value} /></div>` : html`<p class="soft">There is none: pages of other origins cannot send carts.</p>`;
		default:
			if (!TYPES[kind]) return html`<${Json} ids=${ids} value=${value} onChange=${onChange} />`;
			return html`<input type=${TYPES[kind]} list=${kind === 'zone' || kind === 'currency' ? `known-${name}` : null} spellcheck=${false} autocomplete="off" placeholder=${HOLDERS[kind]}
				...${ids} value=${value === null ? '' : value} onInput=${text} />
				${(kind === 'zone' || kind === 'currency') && html`<datalist id=${`known-${name}`}>${known(kind === 'zone' ? 'timeZone' : 'currency').map((one) => html`<option key=${one} value=${one} />`)}</datalist>`}`;
	}
}
